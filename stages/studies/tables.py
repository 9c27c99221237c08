"""The tidy tables of a study: pairs, labels, GAC's price, the judge's accuracy, transfer, drift."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from statistics import fmean

from stages.reporting.study_rows import (
    ALL,
    Accuracy,
    Drift,
    LabelPrice,
    LabelRow,
    PairRow,
    Transfer,
)
from stages.studies.contrasts import Interval, interval, joined, measured
from stages.studies.experiments import Finished
from stages.studies.plan import Side

COSTS = ("rollouts", "written_tokens", "read_tokens")


def evaluation_rows(finished: list[Finished]) -> list[PairRow]:
    """One row for each seed, variant, pair and question set."""
    return [row for one in finished for row in _pairs(one)]


def _pairs(one: Finished) -> Iterator[PairRow]:
    for name in one.pairs.values():
        pair = one.evaluation(name)
        for question_set, part in pair.sets.items():
            yield PairRow(
                seed=one.experiment.seed,
                variant=one.experiment.variant,
                agent=pair.agent,
                retriever=pair.retriever,
                question_set=question_set,
                questions=part.questions,
                em=part.em,
                f1=part.f1,
                searches=part.searches,
                unanswered=part.unanswered,
                found=part.found,
                recall=part.recall,
            )


def label_rows(finished: list[Finished]) -> list[LabelRow]:
    """One row for each seed, variant and iteration: what the labels cost and what came of them."""
    return [_labels(one, iteration) for one in finished for iteration in one.params["iterations"]]


def _labels(one: Finished, iteration: str) -> LabelRow:
    correctness, pairs, relevance = (
        one.metrics(f"metrics/{stage}/{iteration}.json")
        for stage in ("correctness", "pairs", "relevance")
    )
    return LabelRow(
        seed=one.experiment.seed,
        variant=one.experiment.variant,
        iteration=iteration,
        queries=pairs["in"],
        selection_rate=pairs["positive_selection_rate"],
        instances=pairs["instances"],
        **costs(correctness),
        uniform_share=relevance.get("uniform_share"),
        **_judge_accuracy(one, iteration),
    )


def costs(correctness: dict) -> dict[str, float | None]:
    """What GAC took: nothing where it is off, None for what was not counted."""
    off = "rollouts" not in correctness
    return {key: 0 if off else correctness.get(key) for key in COSTS}


def _judge_accuracy(one: Finished, iteration: str) -> dict[str, float | None]:
    """How the judge's grades agree with those of a perfect judge of the made-up world.

    `judge_exact`: share of equal grades; `judge_same_side`: share on the same side of the
    threshold. None where there is no judge or no such world.
    """
    none = {"judge_exact": None, "judge_same_side": None}
    if one.params["corpus"]["source"] != "stages/world":
        return none
    from stages.teaching.grades import true_grade

    queries = {row.id: row.query.request.query for row in one.candidates(iteration)}
    texts = {row["id"]: row["contents"] for row in one.rows("data/corpus/passages.jsonl")}
    pairs = [
        (score, true_grade(queries[row["id"]], texts[passage], row["sub_answer"]))
        for row in one.rows(f"data/relevance/{iteration}.jsonl")
        for passage, score in (row["scores"] or {}).items()
    ]
    if not pairs:
        return none
    threshold = one.params["pairs"]["threshold"]
    sides = [(given >= threshold) == (right >= threshold) for given, right in pairs]
    return {
        "judge_exact": round(fmean(given == right for given, right in pairs), 4),
        "judge_same_side": round(fmean(sides), 4),
    }


def price_rows(finished: list[Finished], variants: Iterable[str]) -> list[LabelPrice]:
    """GAC's price: EM of Agent_1 with R_1 against what the labels of iteration 1 cost."""
    rows = []
    for variant in variants:
        mine = [one for one in finished if one.experiment.variant == variant]
        if not mine:
            continue
        em = _level(mine, "1", "1", "em")
        taken = [costs(one.metrics("metrics/correctness/1.json")) for one in mine]
        means = {key: round(fmean(cost[key] for cost in taken), 1) for key in COSTS}
        rates = [one.metrics("metrics/pairs/1.json")["positive_selection_rate"] for one in mine]
        rows.append(
            LabelPrice(
                variant=variant,
                seeds=em.seeds,
                **_figures("em", em),
                **means,
                selection_rate=round(fmean(rates), 4),
            )
        )
    return rows


def accuracy_rows(
    finished: list[Finished], labels: list[LabelRow], variants: Iterable[str]
) -> list[Accuracy]:
    """The judge's accuracy on iteration 1 (see `label_rows`) beside EM of Agent_1 with R_1."""
    rows = []
    for variant in variants:
        mine = [one for one in finished if one.experiment.variant == variant]
        graded = [row for row in labels if (row.variant, row.iteration) == (variant, "1")]
        if not mine or any(row.judge_exact is None for row in graded):
            continue
        em = _level(mine, "1", "1", "em")
        means = {
            key: round(fmean(getattr(row, key) for row in graded), 4)
            for key in ("judge_exact", "judge_same_side", "queries")
        }
        rows.append(Accuracy(variant=variant, seeds=em.seeds, **means, **_figures("em", em)))
    return rows


def transfer_rows(finished: list[Finished], variants: tuple[str, ...]) -> list[Transfer]:
    """Every agent with every retriever: a row for each pair and question set, "all" for all.

    Of other variants than the first, the retrievers that they trained, named after the variant.
    """
    rows = []
    for variant in variants:
        mine = [one for one in finished if one.experiment.variant == variant]
        first = variant == variants[0]
        for agent, retriever in mine[0].pairs if mine else ():
            if not first and retriever not in mine[0].params["iterations"]:
                continue
            short = variant.removeprefix(f"{variants[0]}_")
            name = retriever if first else f"{retriever}:{short}"
            for question_set in [*_sets(mine[0], agent, retriever), ALL]:
                em, searches = (
                    _level(mine, agent, retriever, key, question_set) for key in ("em", "searches")
                )
                found = Transfer(
                    agent=agent,
                    retriever=name,
                    question_set=question_set,
                    seeds=em.seeds,
                    **_figures("em", em),
                    **_figures("searches", searches),
                    **_means(mine, agent, retriever, question_set),
                )
                rows.append(found)
    return rows


def drift_rows(finished: list[Finished], variants: Iterable[str]) -> list[Drift]:
    """What stages/drift.py measured, for each seed, variant and iteration; `em`: of the iteration's
    own agent and retriever, a mean over question sets."""
    return [
        row
        for variant in variants
        for one in finished
        if one.experiment.variant == variant
        for row in _drift(one)
    ]


def _drift(one: Finished) -> Iterator[Drift]:
    known = {column.name for column in fields(Drift)}
    for iteration, metrics in one.metrics("metrics/drift.json").items():
        pair = one.evaluation(one.pair(iteration, iteration))
        yield Drift(
            seed=one.experiment.seed,
            variant=one.experiment.variant,
            iteration=iteration,
            **{key: value for key, value in metrics.items() if key in known},
            em=round(fmean(part.em for part in pair.sets.values()), 6),
        )


def _sets(one: Finished, agent: str, retriever: str) -> list[str]:
    return list(one.evaluation(one.pair(agent, retriever)).sets)


def _level(
    finished: list[Finished], agent: str, retriever: str, key: str, question_set: str = ALL
) -> Interval:
    """The mean of a figure over seeds and questions of a pair."""
    seeds = []
    for one in finished:
        values = measured(one, Side(one.experiment.variant, agent, retriever), key)
        seeds.append(joined(v for name, v in values.items() if question_set in (ALL, name)))
    return interval(seeds)


def _means(finished: list[Finished], agent: str, retriever: str, question_set: str) -> dict:
    """Figures without intervals: means over seeds, and over sets for "all"."""
    found: dict[str, list[float]] = {"f1": [], "unanswered": [], "found": []}
    for one in finished:
        for name, part in one.evaluation(one.pair(agent, retriever)).sets.items():
            for key, values in found.items():
                if question_set in (ALL, name) and (value := getattr(part, key)) is not None:
                    values.append(value)
    return {key: round(fmean(values), 4) if values else None for key, values in found.items()}


def _figures(key: str, found: Interval) -> dict[str, float]:
    return {
        key: round(found.mean, 4),
        f"{key}_low": round(found.low, 4),
        f"{key}_high": round(found.high, 4),
    }
