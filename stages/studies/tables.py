"""The tidy tables of a study: pairs, labels, GAC's price, the judge's accuracy, transfer, drift.

Those of each seed come from its experiment; those over seeds from the rows of each seed, wherever
they were made (stages/studies/kept.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
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
from stages.studies.contrasts import MEASURES
from stages.studies.experiments import Finished
from stages.studies.plan import Side
from stages.studies.samples import Interval
from stages.studies.seeds import OWN_PAIR, Key, SeedTable

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
                **vars(one.made),
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
        **vars(one.made),
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


def price_rows(
    table: SeedTable, labels: list[LabelRow], variants: Iterable[str]
) -> list[LabelPrice]:
    """GAC's price: EM of Agent_1 with R_1 against what the labels of iteration 1 cost."""
    rows = []
    for variant in variants:
        if (em := own_level(table, variant, "em")) is None:
            continue
        mine = _first_labels(labels, variant, em)
        means = {key: round(fmean(getattr(row, key) for row in mine), 1) for key in COSTS}
        rows.append(
            LabelPrice(
                variant=variant,
                seeds=em.interval.seeds,
                **em.cells("em"),
                **means,
                selection_rate=round(fmean(row.selection_rate for row in mine), 4),
                states=em.states,
            )
        )
    return rows


def accuracy_rows(
    table: SeedTable, labels: list[LabelRow], variants: Iterable[str]
) -> list[Accuracy]:
    """The judge's accuracy on iteration 1 (see `label_rows`) beside EM of Agent_1 with R_1."""
    rows = []
    for variant in variants:
        em = own_level(table, variant, "em")
        graded = _first_labels(labels, variant, em) if em else []
        if em is None or any(row.judge_exact is None for row in graded):
            continue
        means = {
            key: round(fmean(getattr(row, key) for row in graded), 4)
            for key in ("judge_exact", "judge_same_side", "queries")
        }
        told = {**means, **em.cells("em"), "states": em.states}
        rows.append(Accuracy(variant=variant, seeds=em.interval.seeds, **told))
    return rows


def _first_labels(labels: list[LabelRow], variant: str, level: Level) -> list[LabelRow]:
    """What the labels of iteration 1 were in the seeds of a level."""
    return [
        row
        for row in labels
        if (row.variant, row.iteration) == (variant, "1") and row.seed in level.of
    ]


def transfer_rows(
    table: SeedTable, pairs: list[PairRow], labels: list[LabelRow], variants: tuple[str, ...]
) -> list[Transfer]:
    """Every agent with every retriever: a row for each pair and question set, "all" for all.

    Of other variants than the first, the retrievers that they trained, named after the variant.
    """
    rows = []
    for variant in variants:
        mine = [row for row in pairs if row.variant == variant]
        first = variant == variants[0]
        trained = {row.iteration for row in labels if row.variant == variant}
        for agent, retriever in dict.fromkeys((row.agent, row.retriever) for row in mine):
            if not first and retriever not in trained:
                continue
            short = variant.removeprefix(f"{variants[0]}_")
            name = retriever if first else f"{retriever}:{short}"
            here = [row for row in mine if (row.agent, row.retriever) == (agent, retriever)]
            for question_set in [*dict.fromkeys(row.question_set for row in here), ALL]:
                side = Side(variant, agent, retriever)
                em, searches = (level(table, side, key, question_set) for key in MEASURES)
                if em is None or searches is None:
                    continue
                found = Transfer(
                    agent=agent,
                    retriever=name,
                    question_set=question_set,
                    seeds=em.interval.seeds,
                    **em.cells("em"),
                    **searches.cells("searches"),
                    **_means(here, question_set),
                    states=em.states,
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
            **vars(one.made),
            variant=one.experiment.variant,
            iteration=iteration,
            **{key: value for key, value in metrics.items() if key in known},
            em=round(fmean(part.em for part in pair.sets.values()), 6),
        )


@dataclass(frozen=True)
class Level:
    """A figure of a pair over seeds `of`, and how many states made them."""

    interval: Interval
    of: frozenset[int]
    states: int

    def cells(self, key: str) -> dict[str, float]:
        """What the row of a table says of it, by column."""
        return {
            key: round(self.interval.mean, 4),
            f"{key}_low": round(self.interval.low, 4),
            f"{key}_high": round(self.interval.high, 4),
        }


def level(table: SeedTable, side: Side, measure: str, question_set: str = ALL) -> Level | None:
    """The mean of a figure over seeds and questions of a pair; None where no seed has it."""
    key = Key(str(side), None, question_set, measure)
    if not (rows := table.of(key)):
        return None
    return Level(table.interval(key), frozenset(row.seed for row in rows), table.states(key))


def own_level(table: SeedTable, variant: str, measure: str) -> Level | None:
    """The level of Agent_1 with the R_1 of its variant."""
    return level(table, Side(variant, *OWN_PAIR), measure)


def _means(rows: list[PairRow], question_set: str) -> dict:
    """Figures without intervals: means over seeds, and over sets for "all"."""
    found: dict[str, list[float]] = {"f1": [], "unanswered": [], "found": []}
    for row in rows:
        for key, values in found.items():
            if question_set in (ALL, row.question_set) and (value := getattr(row, key)) is not None:
                values.append(value)
    return {key: round(fmean(values), 4) if values else None for key, values in found.items()}
