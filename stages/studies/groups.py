"""Which questions gain, over seeds: EM by hops and namesakes, recall by whether the query is
ambiguous (see stages/reporting/breakdown.py for what that means)."""

from __future__ import annotations

from collections.abc import Iterable

from stages.reporting.breakdown import SHOWN, ambiguous_texts, asked, hit
from stages.studies.contrasts import both_ran, experiments_by_seed, interval
from stages.studies.experiments import Finished
from stages.studies.plan import Contrast, Side

Groups = dict[tuple[str, str], list[float]]  # (measure, group) -> a difference for each member
OF = {"em": "questions", f"recall_{SHOWN}": "queries"}
NAMES = {"hops": ("{} hop", "{} hops"), "namesakes": ("{} namesake", "{} namesakes")}


def group_rows(contrasts: list[Contrast], finished: list[Finished]) -> list[dict]:
    """A row for each contrast and group that its questions tell; differences from -1 to 1."""
    seeds = experiments_by_seed(finished)
    return [row for contrast in contrasts for row in _rows(contrast, seeds)]


def _rows(contrast: Contrast, seeds: list[dict[str, Finished]]) -> Iterable[dict]:
    each = [_groups(contrast, seed) for seed in seeds if both_ran(contrast, seed)]
    for measure, group in sorted({key for groups in each for key in groups}):
        values = [groups[measure, group] for groups in each if (measure, group) in groups]
        yield {
            "contrast": contrast.name,
            "measure": measure,
            "group": group,
            "of": OF[measure],
            "count": sum(map(len, values)),
            **interval(values).row(),
        }


def _groups(contrast: Contrast, seed: dict[str, Finished]) -> Groups:
    """What one seed's `after` has more of than its `before`, by group."""
    after, before = (_predictions(side, seed) for side in (contrast.after, contrast.before))
    both = [(after[key], before[key]) for key in after if key in before]
    metadata = _metadata(seed[contrast.after.variant], {name for name, _ in after})
    found: Groups = {}
    for new, old in both:
        known = metadata[new["set"], new["id"]]
        for by, name in NAMES.items():
            if by in known:
                value = float(new["em"]) - float(old["em"])
                group = name[known[by] != 1].format(known[by])
                found.setdefault(("em", group), []).append(value)
    for group, value in _recalls(both):
        found.setdefault((f"recall_{SHOWN}", group), []).append(value)
    return found


def _recalls(both: list[tuple[dict, dict]]) -> Iterable[tuple[str, float]]:
    """(group, difference of recall) of every hop that both pairs asked for."""
    ambiguous = ambiguous_texts(row for rows in both for row in rows)
    for rows in both:
        for (text, *new), (_, *old) in zip(*map(asked, rows), strict=False):
            kind = "ambiguous" if text in ambiguous else "unambiguous"
            yield f"{kind} query", hit(*new) - hit(*old)


def _predictions(side: Side, seed: dict[str, Finished]) -> dict[tuple[str, str], dict]:
    one = seed[side.variant]
    name = one.pairs[side.agent, side.retriever]
    return {(row["set"], row["id"]): row for row in one.rows(f"data/predictions/{name}.jsonl")}


def _metadata(one: Finished, sets: set[str]) -> dict[tuple[str, str], dict]:
    return {
        (name, row["id"]): row.get("metadata") or {}
        for name in sets
        for row in one.rows(f"data/questions/test/{name}.jsonl")
    }
