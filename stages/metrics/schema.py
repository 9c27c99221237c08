"""The schema of each kind of metrics file, named as its folder or file in `metrics/` is.

Required is what the stage writes in every mode. `partial` readings (stages/metrics/reading.py) do
without what is missing, and check what is there.
"""

from __future__ import annotations

import math

from stages.metrics.fields import (
    LARGEST,
    MOST,
    Each,
    Number,
    Object,
    Several,
    Text,
    Truth,
)
from stages.params import POOLED

COUNT = Number(0, MOST, whole=True)
SHARE = Number(0, 1)
SHARE_OR_NONE = Number(0, 1, null=True)
AMOUNT = Number(0, 1e6)  # a mean of searches, of hours, of words
ANY = Number()
DISTANCE = Number(-1e-3, 2 + 1e-3, null=True)  # 1 less a cosine, which may be rounded
ROUNDED = 1e-3  # shares are rounded to four digits
EXACT = 1e-6

COUNTS = {"in": COUNT, "out": COUNT, "dropped": Each(COUNT)}


def balanced(row: dict) -> str | None:
    """in = out + dropped."""
    dropped = sum(row["dropped"].values())
    if row["in"] != row["out"] + dropped:
        return f"counts do not balance ({row['in']} in, {row['out']} out, {dropped} dropped)"
    return None


def _counted(optional: dict | None = None, required: dict | None = None, also=None) -> Object:
    """A file with counts that balance; `also` is one more look at the whole of it."""

    def balance(row: dict) -> str | None:
        return balanced(row) or (also(row) if also else None)

    return Object(COUNTS | (required or {}), optional or {}, balance)


def _set_balance(row: dict) -> str | None:
    for key in ("em", "f1", "searches"):
        if row[f"{key}_low"] > row[f"{key}_high"]:
            return f"'{key}_low' is above '{key}_high'"
    if row["em"] > row["f1"] + EXACT:
        return "'em' is above 'f1', of which an exact match is 1"
    if row["em"] + row["unanswered"] > 1 + EXACT:
        return "'em' and 'unanswered' are more than all questions"
    for key in ("first_query_recall", "answer_recall"):
        if row.get(key, row["recall"]).keys() != row["recall"].keys():
            return f"'recall' and '{key}' have other depths"
    if ("answer_recall" in row) != ("answer_found" in row):
        return "'answer_recall' and 'answer_found' do not go together"
    return None


def _depth(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 10 and int(name) > 0


def _evaluation_balance(row: dict) -> str | None:
    for name in POOLED:
        if name in row["sets"]:
            return (
                f"a question set is called '{name}', as tables call all sets together: give its "
                "file in 'questions.source' another name"
            )
    depths = [tuple(metrics["recall"]) for metrics in row["sets"].values()]
    if len(set(depths)) > 1:
        return "the question sets have recall at other depths"
    return None


def _trajectories_balance(row: dict) -> str | None:
    if sum(row["stops"].values()) != row["out"]:
        return "'stops' do not add up to 'out'"
    if row["out"] and not math.isclose(row["searches"] * row["out"], row["queries"], abs_tol=1e-3):
        return "'searches' is not 'queries' over 'out'"
    return None


def _pairs_balance(row: dict) -> str | None:
    gave = row["out"] + row["dropped"].get("not_drawn", 0)
    if abs(row["positive_selection_rate"] - gave / max(row["in"], 1)) > ROUNDED:
        return "'positive_selection_rate' is not 'out', with what was not drawn, over 'in'"
    return "'instances' are fewer than 'out'" if row["instances"] < row["out"] else None


def _correctness_balance(row: dict) -> str | None:
    if "rollouts" not in row:  # GAC is off
        return None
    if row.get("correct", 0) > row.get("evaluated", MOST):
        return "'correct' is more than 'evaluated'"
    if row.get("rollouts_saved") is None or "rollouts_exhaustive" not in row:
        return None
    if row["rollouts"] + row["rollouts_saved"] != row["rollouts_exhaustive"]:
        return "'rollouts' and 'rollouts_saved' are not 'rollouts_exhaustive'"
    share = row["rollouts_saved"] / max(row["rollouts_exhaustive"], 1)
    saved = row.get("saved_share")
    return "'saved_share' is not what was saved" if saved and abs(saved - share) > ROUNDED else None


def _candidates_balance(row: dict) -> str | None:
    if row["trajectories_without_query"] > row["trajectories"]:
        return "'trajectories_without_query' are more than 'trajectories'"
    return None


def _oracle_balance(row: dict) -> str | None:
    if row["right"] > row["rollouts"]:
        return "'right' is more than 'rollouts'"
    if row["with_right"] + row["unranked"] > row["queries"]:
        return "'with_right' and 'unranked' are more than 'queries'"
    return None


def _drift_balance(row: dict) -> str | None:
    if row["questions"] > row["queries"]:
        return "'questions' are more than 'queries'"
    if row["queries_of_both_iterations"] > row["queries"]:
        return "'queries_of_both_iterations' are more than 'queries'"
    means = {"queries": ("words_per_query", "overlap_with_question", "distance_to_question")}
    means["queries_of_both_iterations"] = (
        "equal_to_previous_iteration",
        "overlap_with_previous_iteration",
        "distance_to_previous_iteration",
    )
    for count, names in means.items():
        for name in names:
            if (row[name] is None) != (row[count] == 0):
                return f"'{name}' and '{count}' do not go together"
    return None


def _signature_balance(row: dict) -> str | None:
    if (row["least"] is None) == (row["most"] is None):
        return "needs one limit, 'least' or 'most'"
    value, least, most = row["value"], row["least"], row["most"]
    if value is None:
        return None
    broken = value < least if most is None else value > most
    return None if broken == row["shows"] else "'shows' is not what value and limit say"


def _health_balance(row: dict) -> str | None:
    shown = sum(signature["shows"] for signature in row["signatures"])
    return None if shown == len(row["shown"]) else "'shown' are not the signatures that show"


QUESTION_SET = Object(
    {
        "questions": Number(1, MOST, whole=True),
        **{f"{key}{end}": SHARE for key in ("em", "f1") for end in ("", "_low", "_high")},
        **{f"searches{end}": AMOUNT for end in ("", "_low", "_high")},
        "unanswered": SHARE,
        "recall": Each(SHARE_OR_NONE, names=_depth),
        "first_query_recall": Each(SHARE_OR_NONE, names=_depth),
        "found": SHARE_OR_NONE,
    },
    {
        "answer_recall": Each(SHARE_OR_NONE, names=_depth),
        "answer_found": SHARE_OR_NONE,
        "support": Text(),
    },
    balance=_set_balance,
)

ORACLE_PRICE = Object(
    {
        **dict.fromkeys(("queries", "unranked", "with_right", "rollouts", "right"), COUNT),
        **dict.fromkeys(("written_tokens", "read_tokens"), COUNT),
        "lost": Each(COUNT),
    },
    balance=_oracle_balance,
)

STEP_MEANS = Object(
    {"reward": ANY, "em": SHARE, "searches": AMOUNT, "response_length": Number(0, MOST)},
    {"invalid": SHARE, "entropy": ANY, "clip_fraction": SHARE},
)

DRIFT = Object(
    {
        "queries": COUNT,
        "questions": COUNT,
        "words_per_query": Number(0, MOST, null=True),
        "overlap_with_question": SHARE_OR_NONE,
        "distance_to_question": DISTANCE,
        "queries_of_both_iterations": COUNT,
        "equal_to_previous_iteration": SHARE_OR_NONE,
        "overlap_with_previous_iteration": SHARE_OR_NONE,
        "distance_to_previous_iteration": DISTANCE,
    },
    balance=_drift_balance,
)

SIGNATURE = Object(
    {
        "name": Text(),
        "value": Number(null=True),
        "least": Number(null=True),
        "most": Number(null=True),
        "meaning": Text(),
        "shows": Truth(),
    },
    balance=_signature_balance,
)

MODEL = Object(
    {},
    {
        "model": Text(),
        "parameters": COUNT,
        "loss": ANY,
        **dict.fromkeys(("right", "right_after_search", "invalid"), SHARE),
        "relevance": Each(Number(0, LARGEST)),
        "sub_answers": Each(Number(0, LARGEST)),
    },
)

SCHEMAS = {
    "base": Object({"agent": MODEL, "judge": MODEL}),
    "guest": MODEL,
    "encoder": Object({"parameters": COUNT}, {"passages": COUNT, "vocabulary": COUNT, "loss": ANY}),
    "baseline": Object({"parameters": COUNT}),
    "index": _counted({"recall_20": SHARE, "recall_queries": COUNT}),
    "agent": _counted(
        required={"steps": Number(1, MOST, whole=True), "first": STEP_MEANS, "last": STEP_MEANS}
    ),
    "trajectories": _counted(
        required={
            "em": SHARE,
            "f1": SHARE,
            "searches": AMOUNT,
            "queries": COUNT,
            "stops": Each(COUNT),
        },
        optional={"visits": COUNT},
        also=_trajectories_balance,
    ),
    "visits": _counted(
        {
            **dict.fromkeys(("visited", "visited_and_right", "taken_away", "added"), COUNT),
            "retries": COUNT,
            "without": Each(COUNT),
            "unread": Each(COUNT),
            "calls": Each(COUNT),
        }
    ),
    "candidates": _counted(
        required={"trajectories": COUNT, "trajectories_without_query": COUNT},
        also=_candidates_balance,
    ),
    "relevance": _counted(
        {
            **dict.fromkeys(("retries", "clamped", "noised", "with_sub_answer"), COUNT),
            "sub_answers_failed": Each(COUNT),
            "sub_answer_retries": COUNT,
            "mean_score": Number(0, 100, null=True),
            "mean_top_score": Number(0, 100, null=True),
            "uniform_share": SHARE_OR_NONE,
        }
    ),
    "correctness": _counted(
        {
            **dict.fromkeys(("rollouts", "rollouts_exhaustive", "evaluated", "correct"), COUNT),
            "rollouts_saved": Number(0, MOST, whole=True, null=True),
            "saved_share": SHARE_OR_NONE,
            "correct_rate": SHARE_OR_NONE,
            "queries_with_correct": COUNT,
            "levels": COUNT,
            "levels_per_query": Number(0, MOST, null=True),
            "written_tokens": COUNT,
            "read_tokens": COUNT,
            "predicted": COUNT,
            "too_long": COUNT,
            "visited": COUNT,
        },
        also=_correctness_balance,
    ),
    "pairs": _counted(
        required={"instances": COUNT, "positive_selection_rate": SHARE},
        optional={"ties_cut": COUNT, "visited": COUNT},
        also=_pairs_balance,
    ),
    "retriever": _counted(
        required={"queries": COUNT, "loss": ANY},
        optional={"tiers": Each(COUNT), "without_reasoning": COUNT},
    ),
    "replug": _counted(required={"loss": ANY}, optional={"read_tokens": COUNT}),
    "evaluate": Object(
        {"agent": Text(), "retriever": Text(), "sets": Each(QUESTION_SET, least=1)},
        {"development": Each(QUESTION_SET, least=1)},
        balance=_evaluation_balance,
    ),
    "oracle": Object({"questions": COUNT, "sets": Each(ORACLE_PRICE, least=1)}),
    "first_query": Object(
        {"questions": COUNT, "queries": COUNT},
        {key: Each(SHARE_OR_NONE, names=_depth) for key in ("query", "question_query")},
    ),
    "health": Object(
        {
            "values": Each(Number(null=True)),
            "signatures": Several(SIGNATURE),
            "shown": Several(Text()),
        },
        balance=_health_balance,
    ),
    "drift": Each(DRIFT),
    "usage": Object(
        {"stage": Text()},
        {
            "hours": AMOUNT,
            "memory_gib": AMOUNT,
            "gpu_memory_gib": Number(0, 1e6, null=True),
            "params": Text(null=True),
        },
    ),
}
