"""Blocks of how an agent and the search talk: protocol, generation, limits of a rollout."""

from __future__ import annotations

from dataclasses import dataclass, field

from stages.params.choices import Engine


@dataclass
class Protocol:
    """How an agent talks: see conf/protocol/.

    A word of `tags` stands for <word> and </word>, a mark for itself. `tool` describes the search
    to a chat template; null: no tool calls. In `passage`, {title} is the passage's first line as it
    stands and {name} the same without quotes around it. `strip` cuts the blanks at either end of
    the passages. `retokenise`: every turn reads the whole conversation tokenised anew as one text.

    `visit_tool` describes a second tool, which opens a passage; null: there is none. A search then
    shows lines of `listing` (places {rank}, {id}, {title}, {name}, {snippet}, which is the first
    `snippet_words`), and `passage` is how an opened one is shown. `unlisted_message` answers a
    visit of an id that no search has listed.
    """

    name: str = "tiny"
    chat: bool = False
    tool: str | None = None
    prompt: str = "Question: {question}\n"
    search_pattern: str = r"<search>(.*?)</search>"
    answer_pattern: str = r"<answer>(.*?)</answer>"
    thought_pattern: str = r"<think>(.*?)</think>"
    stop: list[str] = field(default_factory=lambda: ["</search>", "</answer>"])
    tags: list[str] = field(default_factory=lambda: ["think", "search", "information", "answer"])
    marks: list[str] = field(default_factory=list)
    information: str = "\n<information>\n{passages}</information>\n"
    strip: bool = False
    passage: str = "{text}\n"
    invalid_message: str | None = None
    retokenise: bool = False
    visit_tool: str | None = None
    listing: str = "[{id}] {name}: {snippet}\n"
    snippet_words: int = 30
    unlisted_message: str = "No search has listed a passage of this id."


@dataclass
class Generation:
    """Engines give the same text in float32 only, so in 16 bits it matters what engine it was, on
    how many devices one copy of the agent lay, and whether vLLM was told to write the same text
    whatever shares the batch.
    """

    engine: Engine = Engine.transformers
    dtype: str = "float32"
    tensor_parallel: int = 1
    batch_invariant: bool = False


@dataclass
class Rollout:
    """Where a rollout ends without an answer, and what a turn is shown; three limits in tokens. Of
    every rollout outside PPO: trajectories, GAC and evaluation. `max_turns` null: one turn more
    than `max_searches`, which cannot search. `max_visits` is of protocols with a `visit_tool`: so
    many turns may visit beside those. `new_results_only`: a passage that the rollout was shown
    before is not shown again, and the next of the ranking takes its place.
    """

    top_k: int = 3
    max_searches: int = 4
    max_turns: int | None = None
    max_visits: int = 4
    max_turn_tokens: int = 32
    max_information_tokens: int = 64
    max_context_tokens: int = 512
    new_results_only: bool = False


@dataclass
class OwnRollout:
    """An agent's own values in place of those of `rollout`; null: the same."""

    top_k: int | None = None
    max_searches: int | None = None
    max_turns: int | None = None
    max_visits: int | None = None
    max_turn_tokens: int | None = None
    max_information_tokens: int | None = None
    max_context_tokens: int | None = None
    new_results_only: bool | None = None
