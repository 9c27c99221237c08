"""The tables of a study as Markdown, and the marks between which documents show them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, median

from stages.reporting.drift import drift_means
from stages.reporting.grid import instances_name, source_name
from stages.reporting.results import agent_label, retriever_label
from stages.reporting.studies import retriever_name
from stages.reporting.study_rows import (
    ALL,
    Accuracy,
    ContrastResult,
    Drift,
    GridRow,
    GroupResult,
    LabelPrice,
    PairRow,
    Transfer,
)

PairKey = tuple[str, str, str]  # variant, agent, retriever
NOTHING = "No experiment has such figures yet.\n"


@dataclass(frozen=True)
class PairMedians:
    """Medians over seeds of EM (0 to 1) and searches, each first averaged over question sets."""

    variant: str
    agent: str
    retriever: str
    seeds: int
    em: float
    em_min: float
    em_max: float
    searches: float


def by_seed(rows: list[PairRow], measure: str) -> dict[PairKey, dict[int, float]]:
    """(variant, agent, retriever) -> seed -> mean of `measure` over question sets."""
    values: dict[PairKey, dict[int, list[float]]] = {}
    for row in rows:
        key = row.variant, row.agent, row.retriever
        values.setdefault(key, {}).setdefault(row.seed, []).append(getattr(row, measure))
    return {key: {s: fmean(v) for s, v in seeds.items()} for key, seeds in values.items()}


def medians(rows: list[PairRow]) -> list[PairMedians]:
    """One entry for each variant and pair, in the order of the rows."""
    searches = by_seed(rows, "searches")
    entries = []
    for key, seeds in by_seed(rows, "em").items():
        values = list(seeds.values())
        among = median(searches[key].values())
        entries.append(
            PairMedians(*key, len(values), median(values), min(values), max(values), among)
        )
    return entries


def base_line(own_base: bool) -> str:
    """What all seeds have in common, as the line above a table."""
    if own_base:
        return "Each seed has its own base agent and judge."
    return "All seeds share one base agent and one judge."


def fragments(
    name: str, tables: dict[str, list], own_base: bool = False, mixture: str = ""
) -> dict[str, str]:
    """Markdown of a study's tables, by what documents call it: NAME, NAME contrasts, ...; `mixture`
    says above each which states were mixed."""
    made = {
        "contrasts": contrasts,
        "price": price,
        "transfer": transfer,
        "accuracy": accuracy,
        "groups": groups,
        "drift": drift,
        "grid": grid,
    }
    mixed = f"{mixture}\n\n" if mixture else ""
    above = f"{mixed}{base_line(own_base)}\n\n"
    found = {name: above + pairs(tables[""])}
    for table, make in made.items():
        rows = tables[table]
        line = above if table == "contrasts" else mixed
        found[f"{name} {table}"] = line + make(rows) if rows else NOTHING
    return found


def fill(text: str, parts: dict[str, str]) -> str:
    """`text` with each part between its marks, `results NAME` and `/results NAME` in comments."""
    for name, part in parts.items():
        if (around := _around(text, name)) is not None:
            text = f"\n{part}\n".join(around)
    return text


def marked(text: str, parts: dict[str, str]) -> list[str]:
    """The names of the parts that `text` has marks for."""
    return [name for name in parts if _around(text, name) is not None]


def _around(text: str, name: str) -> tuple[str, str] | None:
    """`text` up to the mark that opens the part `name`, and from the one that closes it."""
    before, start, rest = text.partition(f"<!-- results {name} -->\n")
    _, end, after = rest.partition(f"<!-- /results {name} -->")
    return (before + start, end + after) if start and end else None


def pairs(rows: list[PairRow]) -> str:
    """The pairs of the full method, then each variant's own pairs."""
    entries = medians(rows)
    seeds = len({row.seed for row in rows})
    lines = [
        f"Medians over up to {seeds} seeds of the mean over question sets; in brackets the lowest "
        "and highest seed.",
        "",
        "| pair, full method | EM (%) | searches | seeds |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {_pair(e)} {_metrics(e)}" for e in entries if e.variant == "full"]
    lines += ["", "| variant | pair | EM (%) | searches | seeds |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for variant in dict.fromkeys(entry.variant for entry in entries):
        last = [entry for entry in entries if entry.variant == variant and _own(entry)]
        lines += [f"| {variant.replace('_', ' ')} | {_pair(e)} {_metrics(e)}" for e in last]
    return "\n".join(lines) + "\n"


def contrasts(rows: list[ContrastResult]) -> str:
    """The primary claims with adjusted p, then what is exploratory; means over seeds."""
    whole = {(row.contrast, row.measure): row for row in rows if row.question_set == ALL}
    names = list(dict.fromkeys(row.contrast for row in rows))
    claims = [name for name in names if whole[name, "em"].claim]
    lines = []
    if claims:
        lines += [
            "Primary claims, over all questions: means over seeds with 95 % intervals; p by t, "
            "corrected by Holm's rule for the study's claims. A claim stands where it is below "
            ".05.",
            "",
            "| claim | EM points | p, adjusted | | searches | seeds |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += [_claim(name, whole[name, "em"], whole[name, "searches"]) for name in claims]
    if others := [name for name in names if name not in claims]:
        lines += ["", "Exploratory, not corrected: clear where the interval leaves out zero.", ""]
        lines += ["| change | EM points | p | | searches | seeds |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        lines += [_claim(name, whole[name, "em"], whole[name, "searches"]) for name in others]
    return "\n".join(lines).lstrip("\n") + "\n"


def _claim(name: str, em: ContrastResult, searches: ContrastResult) -> str:
    return (
        f"| {name} | {_interval(em, 100, 1)} | {_p(em)} | {claim_verdict(em)} "
        f"| {_interval(searches, 1, 2)} | {em.seeds} |"
    )


def claim_verdict(row: ContrastResult) -> str:
    """What a contrast says in a word or three."""
    if row.claim:
        return "stands" if row.clear else "not shown"
    return "clear" if row.clear else "no difference shown"


def probability(value: float) -> str:
    """A p value to three digits; a smaller one is told as such."""
    return "< .001" if value < 0.001 else f"{value:.3f}".removeprefix("0")


def _p(row: ContrastResult) -> str:
    """The p value by which the row is judged."""
    return probability(row.p_adjusted if row.claim else row.p)


def claims(studies: dict[str, list[ContrastResult]], pilots: set[str]) -> str:
    """The primary claims of all studies, by study the rows of its contrasts; `pilots`: the studies
    whose rows are still those of version 0.1.0."""
    lines = [
        "| study | claim | EM points | p, adjusted | | seeds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for study, rows in studies.items():
        lines += [
            f"| {study} | {row.contrast} | {_interval(row, 100, 1)} | {_p(row)} "
            f"| {claim_verdict(row)} | {row.seeds}{', pilot' if study in pilots else ''} |"
            for row in rows
            if row.claim
        ]
    if pilots & set(studies):
        lines += ["", "Pilot: the seeds of version 0.1.0, after which the claims were listed."]
    lines += [
        "",
        "The command of a study: `python -m stages.tools.study --study conf/study/STUDY.yaml`.",
    ]
    return "\n".join(lines) + "\n"


def _interval(row: ContrastResult | GroupResult, scale: float, digits: int) -> str:
    mean, low, high = (f"{scale * value:+.{digits}f}" for value in (row.mean, row.low, row.high))
    return f"{mean} ({low} to {high})"


def price(rows: list[LabelPrice]) -> str:
    """GAC's price: EM of Agent_1 + R_1 against rollouts and tokens of the labels of iteration 1."""
    lines = [
        "| GAC | EM (%) | rollouts | tokens written | tokens read | selection rate (%) |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        costs = (row.rollouts, row.written_tokens, row.read_tokens)
        told = " | ".join(f"{cost:,.0f}" for cost in costs)
        name = row.variant.replace("_", " ")
        lines.append(f"| {name} | {_level(row)} | {told} | {100 * row.selection_rate:.0f} |")
    return "\n".join(lines) + "\n"


def accuracy(rows: list[Accuracy]) -> str:
    """How right the judge's grades of iteration 1 are, and EM with the R_1 that learned by them."""
    lines = [
        "| judge | grades right (%) | right side of the threshold (%) | queries labelled "
        "| EM (%), Agent_1 + R_1 | seeds |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        right, side = 100 * row.judge_exact, 100 * row.judge_same_side
        lines.append(
            f"| {row.variant.replace('_', ' ')} | {right:.1f} | {side:.1f} "
            f"| {row.queries:.0f} | {_level(row)} | {row.seeds} |"
        )
    return "\n".join(lines) + "\n"


def transfer(rows: list[Transfer]) -> str:
    """EM over all question sets: agents down, retrievers across."""
    whole = {(row.agent, row.retriever): row for row in rows if row.question_set == ALL}
    agents = list(dict.fromkeys(agent for agent, _ in whole))
    retrievers = sorted({retriever for _, retriever in whole}, key=_place)
    lines = [
        f"| agent | {' | '.join(map(retriever_name, retrievers))} |",
        f"| --- |{' --- |' * len(retrievers)}",
    ]
    for agent in agents:
        cells = (_level(whole[agent, r]) if (agent, r) in whole else "" for r in retrievers)
        lines.append(f"| {agent_label(agent)} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def groups(rows: list[GroupResult]) -> str:
    """Differences by group of questions, a column for each contrast; "=" where none is shown."""
    names = list(dict.fromkeys(row.contrast for row in rows))
    found = {(row.contrast, row.group): row for row in rows}
    lines = [
        "Points of EM, or of recall@3 for queries (95 % interval); = where it has zero inside.",
        "",
        f"| group | {' | '.join(names)} |",
        f"| --- |{' --- |' * len(names)}",
    ]
    for group, measure in dict.fromkeys((row.group, row.measure) for row in rows):
        what = group if measure == "em" else f"{group}: recall@3"
        cells = (_difference(found.get((name, group))) for name in names)
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def grid(rows: list[GridRow]) -> str:
    """What each variant learned from and reads, the best EM first."""
    lines = [
        "EM of Agent_1 with R_1, the best first; means over seeds with 95 % intervals. "
        "Exploratory: the order is no verdict.",
        "",
        "| labels from | instances | weights | the retriever reads | EM (%) | searches | seeds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {source_name(row)} | {instances_name(row)} | {row.weights} | `{row.input}` "
        f"| {_level(row)} | {row.searches:.2f} | {row.seeds} |"
        for row in sorted(rows, key=lambda row: -row.em)
    ]
    return "\n".join(lines) + "\n"


def drift(rows: list[Drift]) -> str:
    """How the queries change by iteration, means over seeds, beside EM of its own pair."""
    lines = [
        "Means over seeds. Equal: share of the iteration's queries that are word for word those of "
        "the iteration before; distances from 0 to 2, in R_0's space.",
        "",
        "| variant | iteration | words per query | equal (%) | distance to the question "
        "| distance to the earlier query | EM (%), Agent_K + R_K | seeds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    shown = {  # figure -> (its scale, digits)
        "words_per_query": (1, 2),
        "same_query": (100, 1),
        "distance_to_question": (1, 3),
        "distance_to_previous_iteration": (1, 3),
        "em": (100, 1),
    }
    for mean in drift_means(rows):
        values = {name: mean.metrics[name] for name in shown}
        cells = " | ".join(
            "–" if value is None else f"{shown[name][0] * value:.{shown[name][1]}f}"
            for name, value in values.items()
        )
        lines.append(
            f"| {mean.variant.replace('_', ' ')} | {mean.iteration} | {cells} | {mean.seeds} |"
        )
    return "\n".join(lines) + "\n"


def _difference(row: GroupResult | None) -> str:
    if row is None:
        return ""
    return _interval(row, 100, 1) + ("" if row.clear else " =")


def _place(retriever: str) -> tuple[bool, bool, str]:
    """BM25 first, then what else the flywheel did not make, then its retrievers by iteration."""
    return retriever != "bm25", retriever[0].isdigit(), retriever


def _level(row: LabelPrice | Accuracy | Transfer | GridRow) -> str:
    em, low, high = (100 * value for value in (row.em, row.em_low, row.em_high))
    return f"{em:.1f} ({low:.1f} to {high:.1f})"


def _own(entry: PairMedians) -> bool:
    """Whether it is an iteration's own pair, Agent_K with R_K."""
    return entry.agent == entry.retriever != "0"


def _pair(entry: PairMedians) -> str:
    return f"{agent_label(entry.agent)} + {retriever_label(entry.retriever)}"


def _metrics(entry: PairMedians) -> str:
    em, low, high = (100 * value for value in (entry.em, entry.em_min, entry.em_max))
    return f"| {em:.1f} ({low:.1f} to {high:.1f}) | {entry.searches:.2f} | {entry.seeds} |"
