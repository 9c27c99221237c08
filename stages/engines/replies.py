"""What all generators share: equal prompts are generated once, a reply ends at a stop string."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Item = tuple[tuple[int, ...], int]  # a prompt and its key (0 where nothing is drawn)


def distinct(
    prompts: Sequence[list[int]], keys: Sequence[int] | None, temperature: float, window: int
) -> tuple[list[Item], list[Item]]:
    """(prompt, key) of each prompt; and what is to be generated, once each, short prompts first.

    A prompt that fills the window is left out of the second. ValueError if keys are missing.
    """
    if temperature > 0 and keys is None:
        raise ValueError("sampling needs a key for each prompt")
    drawn = keys if temperature > 0 else [0] * len(prompts)
    items = [(tuple(prompt), key) for prompt, key in zip(prompts, drawn, strict=True)]
    todo = {item for item in items if len(item[0]) < window}
    return items, sorted(todo, key=lambda item: (len(item[0]), item))


def before_end(ids: list[int], ends: Collection[int]) -> list[int]:
    """What was written before the end of text."""
    positions = (position for position, token in enumerate(ids) if token in ends)
    return ids[: next(positions, len(ids))]


def through_stop(
    ids: list[int], stop: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> list[int]:
    """What was written up to the token that completes the first stop string, or all of it."""

    def stopped(count: int) -> bool:
        text = tokenizer.decode(ids[:count], clean_up_tokenization_spaces=False)
        return any(s in text for s in stop)

    count = len(ids)
    if not stopped(count):
        return ids
    while stopped(count - 1):  # engines stop at once or a token late, so this is short
        count -= 1
    return ids[:count]
