"""The limit on what a labelling stage may drop: `relevance.max_dropped` and the like."""

from __future__ import annotations

from collections.abc import Mapping

from stages.plumbing.errors import InputError

SHOWN = 3  # reasons in the message
CUT = 200  # characters of an example


def check_lost(
    stage: str,
    what: str,
    reasons: Mapping[str, int],
    total: int,
    most: float,
    where: str,
    example: str = "",
) -> None:
    """InputError where more than the share `most` of `total` was lost.

    `stage` is NAME@ITERATION, `what` the things that are counted, `reasons` how many were lost for
    which, `where` says where to read more. A stage calls it when all it has to say is written.
    """
    lost = sum(reasons.values())
    if lost <= most * total:
        return
    first = sorted(reasons.items(), key=lambda item: (-item[1], item[0]))[:SHOWN]
    told = ", ".join(f"{reason}: {count}" for reason, count in first)
    key = f"{stage.partition('@')[0]}.max_dropped"
    shown = f", for example {' '.join(example.split())[:CUT]!r}" if example else ""
    raise InputError(
        f"{stage}: {lost} of {total} {what} were lost, more than '{key}' allows ({most:g}): "
        f"{told}{shown}; {where}. What is done is kept: repair it, or raise '{key}' to go on"
    )
