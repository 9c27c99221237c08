"""The table that a study comes to: medians over seeds, and what they say of the method."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean, median

from stages.reporting.results import agent_label, retriever_label

Key = tuple[str, str, str]  # variant, agent, retriever


@dataclass(frozen=True)
class Entry:
    """Medians over seeds of EM (0 to 1) and searches, each first averaged over question sets."""

    variant: str
    agent: str
    retriever: str
    seeds: int
    em: float
    em_min: float
    em_max: float
    searches: float


def by_seed(rows: list[dict], measure: str) -> dict[Key, dict[str, float]]:
    """(variant, agent, retriever) -> seed -> mean of `measure` over question sets."""
    values: dict[Key, dict[str, list[float]]] = {}
    for row in rows:
        key = row["variant"], row["agent"], row["retriever"]
        values.setdefault(key, {}).setdefault(str(row["seed"]), []).append(float(row[measure]))
    return {key: {s: fmean(v) for s, v in seeds.items()} for key, seeds in values.items()}


def medians(rows: list[dict]) -> list[Entry]:
    """One entry for each variant and pair, in the order of the rows."""
    searches = by_seed(rows, "searches")
    entries = []
    for key, seeds in by_seed(rows, "em").items():
        values = list(seeds.values())
        among = median(searches[key].values())
        entries.append(Entry(*key, len(values), median(values), min(values), max(values), among))
    return entries


def difference(rows: list[dict], after: Key, before: Key, measure: str = "em") -> float | None:
    """Median over seeds of `after` less `before`, seed by seed; None without a common seed."""
    figures = by_seed(rows, measure)
    old, new = figures.get(before, {}), figures.get(after, {})
    common = [new[seed] - old[seed] for seed in new if seed in old]
    return median(common) if common else None


def changes(rows: list[dict]) -> list[tuple[str, float, float]]:
    """(what changed, EM difference, difference in searches): each half turn of the full method,
    then each variant against the full method at the same turn's own pair; medians over seeds."""
    keys = list(by_seed(rows, "em"))
    steps = [(after, before) for after in keys for before in keys if _half_turn(before, after)]
    steps += [(key, ("full", *key[1:])) for key in keys if key[0] != "full" and key[1] == key[2]]
    found = []
    for after, before in steps:
        em = difference(rows, after, before)
        if em is not None and after[1] != "0":
            searches = difference(rows, after, before, "searches")
            found.append((f"{_name(after)} for {_name(before)}", em, searches))
    return found


def _half_turn(before: Key, after: Key) -> bool:
    """A new agent with the same retriever, or a new retriever with the same agent."""
    turns = (*before[1:], *after[1:])  # neither BM25 nor the scripted policy is of a turn
    if before[0] != "full" or after[0] != "full" or not all(turn.isdigit() for turn in turns):
        return False
    agents, retrievers = (int(after[n]) - int(before[n]) for n in (1, 2))
    return (agents, retrievers) in ((1, 0), (0, 1))


def markdown(rows: list[dict]) -> str:
    """The pairs of the full method, each variant's own pairs, and the changes, as Markdown."""
    entries = medians(rows)
    seeds = len({row["seed"] for row in rows})
    lines = [
        f"Medians over up to {seeds} seeds of the mean over question sets; in brackets the lowest "
        "and highest seed. Changes are taken seed by seed.",
        "",
        "| pair, full method | EM (%) | searches | seeds |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {_pair(e)} {_figures(e)}" for e in entries if e.variant == "full"]
    lines += ["", "| variant | pair | EM (%) | searches | seeds |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for variant in dict.fromkeys(entry.variant for entry in entries):
        last = [entry for entry in entries if entry.variant == variant and _own(entry)]
        lines += [f"| {variant.replace('_', ' ')} | {_pair(e)} {_figures(e)}" for e in last]
    lines += ["", "| change | EM points | searches |", "| --- | --- | --- |"]
    lines += [f"| {what} | {100 * em:+.1f} | {n:+.2f} |" for what, em, n in changes(rows)]
    return "\n".join(lines) + "\n"


def _name(key: Key) -> str:
    variant = "" if key[0] == "full" else f"{key[0].replace('_', ' ')}: "
    return f"{variant}{agent_label(key[1])} + {retriever_label(key[2])}"


def _own(entry: Entry) -> bool:
    """Whether it is a turn's own pair, Agent_K with R_K."""
    return entry.agent == entry.retriever != "0"


def _pair(entry: Entry) -> str:
    return f"{agent_label(entry.agent)} + {retriever_label(entry.retriever)}"


def _figures(entry: Entry) -> str:
    em, low, high = (100 * value for value in (entry.em, entry.em_min, entry.em_max))
    return f"| {em:.1f} ({low:.1f} to {high:.1f}) | {entry.searches:.2f} | {entry.seeds} |"
