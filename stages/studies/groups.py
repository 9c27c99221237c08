"""Results by kind of question over seeds: EM by hops and namesakes, recall for ambiguous queries.

stages/reporting/breakdown.py says which queries are ambiguous.

The two pairs of a contrast ask different queries, so each side's queries count by their own kind.
What is ambiguous is said by the queries of both pairs together. The queries of a question are not
independent: intervals take questions, each with all that both sides asked for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from stages.plumbing.errors import InputError
from stages.reporting.breakdown import ambiguous_texts
from stages.reporting.pairing import Identity, identified
from stages.reporting.predictions import SHOWN, Outcome, outcome, unordered_sets
from stages.reporting.study_rows import GroupResult
from stages.studies.contrasts import both_answered
from stages.studies.experiments import Finished
from stages.studies.plan import Contrast
from stages.studies.samples import Sample

if TYPE_CHECKING:
    from stages.studies.seeds import SeedTable

RECALL = f"recall_{SHOWN}"
OF = {"em": "questions", RECALL: "queries"}
NAMES = {"hops": ("{} hop", "{} hops"), "namesakes": ("{} namesake", "{} namesakes")}
KINDS = ("ambiguous", "unambiguous")  # queries

GroupKey = tuple[
    str, str, int
]  # measure, key of the metadata or kind of query, number of hops, ...
Sums = tuple[float, int, float, int]  # sum and number of `after`'s values, of `before`'s


@dataclass
class Group:
    """What both sides of one seed had of a group, question by question."""

    sums: list[Sums] = field(default_factory=list)
    about: Sample = field(default_factory=Sample)  # the questions; the values say nothing

    def add(self, sums: Sums, row: Outcome, question: Identity) -> None:
        """One question more."""
        self.sums.append(sums)
        self.about.add(0.0, row, question)

    @property
    def counts(self) -> tuple[int, int]:
        """How many values `after` has, and `before`."""
        return sum(one[1] for one in self.sums), sum(one[3] for one in self.sums)


@dataclass(frozen=True)
class Gap:
    """What one seed's sides differ by, and how many questions or queries each has: of a group of
    them; of all questions both have `count`."""

    sample: Sample
    count: int
    count_before: int | None = None


def group_rows(contrasts: list[Contrast], table: SeedTable) -> list[GroupResult]:
    """A row for each contrast and group that its questions tell; differences from -1 to 1. A group
    of one fact chain of one seed has no interval, and no row.

    `count` is how many questions or queries `after` has, `count_before` how many `before`.
    """
    rows = []
    for contrast in contrasts:
        keys = table.keys(str(contrast.after), str(contrast.before), of_groups=True)
        for key in sorted(keys, key=lambda key: _place(key.measure, key.group)):
            seeds = table.of(key)
            if len(seeds) > 1 or seeds[0].chains > 1:
                found = GroupResult(
                    contrast=contrast.name,
                    measure=key.measure,
                    group=key.group,
                    of=OF[key.measure],
                    count=sum(row.questions for row in seeds),
                    count_before=sum(row.questions_before for row in seeds),
                    **table.interval(key).cells(),
                    states=table.states(key),
                )
                rows.append(found)
    return rows


def _place(measure: str, group: str) -> tuple[str, str, int]:
    """EM before recall, hops before namesakes, each by its number."""
    number, _, kind = group.rpartition(" ")
    return (measure, kind.rstrip("s"), int(number)) if number.isdigit() else (measure, group, 0)


def group_samples(contrast: Contrast, seed: dict[str, Finished]) -> dict[tuple[str, str], Gap]:
    """(measure, group) -> what `after` has more of it than `before` in one seed."""
    return {
        (measure, NAMES[by][value != 1].format(value) if by in NAMES else f"{by} query"): Gap(
            gap_sample(group), *group.counts
        )
        for (measure, by, value), group in _groups(contrast, seed).items()
        if all(group.counts)
    }


def gap_sample(group: Group) -> Sample:
    """`after`'s mean less `before`'s, question by question.

    Each side is a ratio of sums over questions. A question stands for the gap and its own pull on
    it, to first order: so the mean of the questions is the gap, and their spread that of the gap.
    """
    news, olds = group.counts
    new, old = (sum(one[place] for one in group.sums) for place in (0, 2))
    new, old, count = new / news, old / olds, len(group.sums)
    values = [
        new - old + count * ((a - new * n) / news - (b - old * m) / olds)
        for a, n, b, m in group.sums
    ]
    return Sample(values, group.about.chains, group.about.questions)


def _groups(contrast: Contrast, seed: dict[str, Finished]) -> dict[GroupKey, Group]:
    """The questions that one seed's `after` and `before` were both asked, by group."""
    both = [(outcome(old), outcome(new)) for old, new in both_answered(contrast, seed)]
    metadata = _metadata(seed[contrast.after.variant], {new.set for _, new in both})
    unordered = unordered_sets(metadata)
    ambiguous = ambiguous_texts(row for rows in both for row in rows if row.set not in unordered)
    found: dict[GroupKey, Group] = {}
    for question, (old, new) in zip(identified(old for old, _ in both), both, strict=True):
        known = metadata[new.key]
        for by in NAMES:
            if by in known:
                em = float(new.em), 1, float(old.em), 1
                found.setdefault(("em", by, known[by]), Group()).add(em, old, question)
        if new.set in unordered:
            continue
        hits = [_hits(row, ambiguous) for row in (new, old)]
        for kind in KINDS:
            recall = tuple(figure(side[kind]) for side in hits for figure in (sum, len))
            if recall[1] or recall[3]:
                found.setdefault((RECALL, kind, 0), Group()).add(recall, old, question)
    return found


def _hits(row: Outcome, ambiguous: set[str]) -> dict[str, list[float]]:
    """Kind of query -> whether each hop's query of that kind found its passage."""
    hits: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for query in row.asked:
        hits[KINDS[query.text not in ambiguous]].append(float(query.hit))
    return hits


def _metadata(one: Finished, sets: set[str]) -> dict[tuple[str, str], dict]:
    """(question set, id) -> what the question tells; hops and namesakes, if any, are integers."""
    found: dict[tuple[str, str], dict] = {}
    for name in sets:
        path = f"data/questions/test/{name}.jsonl"
        for row in one.rows(path):
            found[name, row["id"]] = known = row.get("metadata") or {}
            for by in NAMES:
                if type(value := known.get(by, 0)) is not int:
                    raise InputError(
                        f"{path} of {one.experiment.name}: 'metadata.{by}' of {row['id']} is no "
                        f"whole number ({value!r}); a study of it cannot have 'groups'"
                    )
    return found
