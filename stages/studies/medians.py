"""The tables of a study as Markdown: medians over seeds, and contrasts with their intervals."""

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


def markdown(rows: list[dict], contrasts: list[dict]) -> str:
    """The pairs of the full method, each variant's own pairs, and the contrasts."""
    entries = medians(rows)
    seeds = len({row["seed"] for row in rows})
    lines = [
        f"Medians over up to {seeds} seeds of the mean over question sets; in brackets the lowest "
        "and highest seed.",
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
    return "\n".join(lines + _contrasts(contrasts)) + "\n"


def _contrasts(rows: list[dict]) -> list[str]:
    """Means over seeds with 95 % intervals; a difference that is not clear is called none."""
    lines = [
        "",
        "Differences over all questions, means over seeds with 95 % intervals (both seeds and "
        "questions resampled). Clear: the interval leaves out zero.",
        "",
        "| change | EM points | | searches | seeds |",
        "| --- | --- | --- | --- | --- |",
    ]
    whole = {(r["contrast"], r["measure"]): r for r in rows if r["question_set"] == "all"}
    for name in dict.fromkeys(row["contrast"] for row in rows):
        em, searches = whole[name, "em"], whole[name, "searches"]
        verdict = "clear" if em["clear"] else "no difference shown"
        mean, low, high = (100 * em[key] for key in ("mean", "low", "high"))
        lines.append(
            f"| {name} | {mean:+.1f} ({low:+.1f} to {high:+.1f}) | {verdict} "
            f"| {searches['mean']:+.2f} ({searches['low']:+.2f} to {searches['high']:+.2f}) "
            f"| {em['seeds']} |"
        )
    return lines if rows else []


def _own(entry: Entry) -> bool:
    """Whether it is a turn's own pair, Agent_K with R_K."""
    return entry.agent == entry.retriever != "0"


def _pair(entry: Entry) -> str:
    return f"{agent_label(entry.agent)} + {retriever_label(entry.retriever)}"


def _figures(entry: Entry) -> str:
    em, low, high = (100 * value for value in (entry.em, entry.em_min, entry.em_max))
    return f"| {em:.1f} ({low:.1f} to {high:.1f}) | {entry.searches:.2f} | {entry.seeds} |"
