"""The one loop of every rollout: trajectories, GAC, evaluation and PPO.

A rollout starts from any prefix of a conversation and goes on in waves: all live rollouts write
until their next stop string, their queries are searched in one call, passages are appended, until
an answer or a limit. It works on token ids and keeps which of them the model wrote.

The last token of a turn may hold more than the end of a stop string. Outside of training the turn
is cut there as a text and encoded again, as the paper's evaluation does, so nothing comes between
the tag and what is shown. In training the tokens stay those that were sampled, since the gradient
and the probabilities in it belong to them. What they hold beyond the stop is left out of the text
that is shown after it, as far as that begins so (one or two line breaks), and the model reads the
same characters. Anything else (a third line break, a carriage return, a space) stays, and is read
before what is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

from stages import params
from stages.common.records import Passage, Question
from stages.common.search import Hit, SearchRequest
from stages.common.trajectories import Shown, Trajectory, Turn, Visit
from stages.rollout.protocol import AgentProtocol
from stages.rollout.visit_calls import VisitProtocol
from stages.scoring import exact_match, f1_score

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from stages.engines.generator import Generator

Stop = Literal["answer", "searches", "visits", "turns", "invalid", "length"]


SearchFunction = Callable[[list[SearchRequest]], list[list[Hit]]]


@dataclass
class RolloutState:
    """A conversation so far. `stop` is None while it goes on.

    `mask` is 1 where the model wrote the token, 0 in the prompt and in what was put in (PPO leaves
    those out); it is as long as `token_ids`. `as_written`: the model is trained on its tokens,
    which stay as it wrote them (see above); `beyond` is what the last of them hold after a stop
    string. `listed`, of an agent that can visit: what it may open, by id.
    """

    question: Question
    token_ids: list[int]
    mask: list[int]
    prompt_length: int
    turns: list[Turn] = field(default_factory=list)
    answer: str | None = None
    stop: Stop | None = None
    as_written: bool = False
    beyond: str = ""
    listed: dict[str, Passage] = field(default_factory=dict)

    def add(self, token_ids: Sequence[int], *, written: bool) -> None:
        """Append tokens that the model wrote, or that it was shown."""
        self.token_ids += token_ids
        self.mask += [int(written)] * len(token_ids)

    @property
    def queries(self) -> tuple[str, ...]:
        """The queries searched so far, in order."""
        return tuple(turn.query for turn in self.turns if turn.query is not None)

    @property
    def visits(self) -> int:
        """How many turns called the visit tool."""
        return sum(turn.visit is not None for turn in self.turns)


def start(
    question: Question,
    protocol: AgentProtocol,
    tokenizer: PreTrainedTokenizerBase,
    *,
    as_written: bool = False,
) -> RolloutState:
    """A rollout of which nothing but the prompt is there."""
    if protocol.block.visit_tool is not None and not isinstance(protocol, VisitProtocol):
        raise ValueError("a protocol with a visit tool goes through with_visit_tool")
    ids = protocol.prompt_ids(question.question, tokenizer)
    return RolloutState(question, list(ids), [0] * len(ids), len(ids), as_written=as_written)


def prefix(
    trajectory: Trajectory,
    turn: int,
    passages: Sequence[Passage],
    protocol: AgentProtocol,
    tokenizer: PreTrainedTokenizerBase,
    limits: params.Rollout,
    listed: Sequence[Passage] = (),
) -> RolloutState:
    """A trajectory up to the query of `turn` (from 0), then exactly `passages` as its information.

    Agentic-R, step B5: with one passage this is where the rollout that decides GAC starts. The
    stored token ids are used, so what the model wrote is what it reads.

    An agent that can visit is shown `passages` whole, as it is shown one that it has opened, though
    in reply to its search. A line of a list would make GAC depend on whether the agent opens it,
    and a call of visit in between would be words that it never wrote. None of its visits is used
    up. `listed` are the passages of the searches before, which it may still open.
    """
    question = Question(trajectory.id, trajectory.question, trajectory.golden_answers)
    rollout = start(question, protocol, tokenizer)
    for earlier in trajectory.turns[:turn]:
        rollout.add(earlier.token_ids, written=True)
        rollout.add(protocol.encode(earlier.information, tokenizer), written=False)
        rollout.turns.append(earlier)
    last = trajectory.turns[turn]
    rollout.add(last.token_ids, written=True)
    shows = protocol
    if isinstance(protocol, VisitProtocol):
        shows, rollout.listed = protocol.put_in, {each.id: each for each in (*listed, *passages)}
    text, ids = shows.fit(passages, tokenizer, limits.max_information_tokens)
    rollout.add(ids, written=False)
    shown = [Shown(passage.id, None) for passage in passages]
    rollout.turns.append(replace(last, passages=shown, information=text))
    _retokenise(rollout, protocol, tokenizer)
    if limits.max_turns is not None and len(rollout.turns) >= limits.max_turns:
        rollout.stop = "turns"
    return rollout


def run(
    rollouts: Sequence[RolloutState],
    generator: Generator,
    search: SearchFunction,
    protocol: AgentProtocol,
    limits: params.Rollout,
    *,
    temperature: float = 0.0,
    keys: Sequence[int] | None = None,
    shown: int | None = None,
    advance: Callable[[int], object] = lambda finished: None,
) -> None:
    """Finish `rollouts` in place, wave by wave; `advance` is told how many each wave finished.

    `shown`: the model sees so many of the passages that `search` gives, and each turn keeps the ids
    of all as `ranked`; None: it sees all. With `limits.new_results_only` it sees `limits.top_k` of
    those that are new to the rollout, and `ranked` has the new ones; `search` then gives as many
    as `search_depth` says.

    At most `max_searches` turns may go without an answer; one that searches beyond them stops with
    "searches". There are at most `max_turns` turns: the last one's search is made and the rollout
    stops with "turns". A turn without an action is told so and counts as one of both, or stops the
    rollout with "invalid" where the protocol has no message for it. At most `max_visits` turns may
    call a visit tool, with an id that was listed or not; they are none of `max_searches`, and one
    beyond them stops with "visits". Sampling needs a key for each rollout.
    """
    live = [i for i, rollout in enumerate(rollouts) if rollout.stop is None]
    while live:
        waiting = _write(
            [rollouts[i] for i in live],
            generator,
            protocol,
            limits,
            temperature,
            [keys[i] for i in live] if keys is not None else None,
        )
        _inform(waiting, search, protocol, generator.tokenizer, limits, shown)
        before = len(live)
        live = [i for i in live if rollouts[i].stop is None]
        advance(before - len(live))


def _write(live, generator, protocol, limits, temperature, keys) -> list[RolloutState]:
    """One turn of every live rollout; those that now wait for passages."""
    fitting = [fits(rollout, limits, generator.window) for rollout in live]
    for rollout, fit in zip(live, fitting, strict=True):
        rollout.stop = None if fit else "length"
    writing = [rollout for rollout, fit in zip(live, fitting, strict=True) if fit]
    replies = generator.generate(
        [rollout.token_ids for rollout in writing],
        stop=protocol.stop,
        max_new_tokens=limits.max_turn_tokens,
        temperature=temperature,
        keys=[key for key, fit in zip(keys, fitting, strict=True) if fit] if keys else None,
    )
    for rollout, ids in zip(writing, replies, strict=True):
        take_turn(rollout, ids, protocol, generator.tokenizer, limits)
    return [rollout for rollout in writing if waits(rollout)]


def fits(rollout: RolloutState, limits: params.Rollout, window: int) -> bool:
    """Whether the context, and the model's `window`, have room for one more turn."""
    room = min(limits.max_context_tokens, window) - limits.max_turn_tokens
    return len(rollout.token_ids) <= room


def waits(rollout: RolloutState) -> bool:
    """Whether the rollout goes on once it is shown what its last query finds."""
    return rollout.stop is None and rollout.turns[-1].query is not None


def take_turn(
    rollout: RolloutState,
    ids: Sequence[int],
    protocol: AgentProtocol,
    tokenizer: PreTrainedTokenizerBase,
    limits: params.Rollout,
) -> None:
    """Append what the model wrote, and do what it asks for: stop, wait for passages, or go on."""
    text = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    kept = text[: protocol.end_of_turn(text)]
    if rollout.as_written:
        rollout.beyond = text[len(kept) :]
    elif kept != text:
        text, ids = kept, tokenizer.encode(kept, add_special_tokens=False)
    action, visited = protocol.parse(kept), None
    if isinstance(protocol, VisitProtocol):
        visited = protocol.visited(kept)
    spent = len(rollout.turns) - rollout.visits >= limits.max_searches
    last = len(rollout.turns) + 1 == limits.max_turns
    searched = action.kind == "search" and not spent
    turn = Turn(text, list(ids), action.thought, action.value if searched else None)
    rollout.add(ids, written=True)
    rollout.turns.append(turn)
    if action.kind == "answer":
        rollout.answer, rollout.stop = action.value, "answer"
    elif action.kind == "search" and spent:
        rollout.stop = "searches"
    elif visited is not None:
        _visit(rollout, visited, protocol, tokenizer, limits)
    elif action.kind == "invalid":
        message = None if spent or last else protocol.refusal(tokenizer)
        if message is None:
            rollout.stop = "invalid"
        else:
            _show(rollout, message, protocol, tokenizer)


def _visit(
    rollout: RolloutState,
    asked: str,
    protocol: VisitProtocol,
    tokenizer: PreTrainedTokenizerBase,
    limits: params.Rollout,
) -> None:
    """Open the passage of the id that the last turn asks for, or say that none is listed."""
    if rollout.visits >= limits.max_visits:
        rollout.stop = "visits"
        return
    turn, passage = rollout.turns[-1], rollout.listed.get(asked)
    turn.visit = Visit(asked, refused=passage is None)
    if passage is None:
        text = protocol.opened.unlisted(tokenizer)
    else:
        most = limits.max_information_tokens
        text, _, turn.cut = protocol.opened.fitted([passage], tokenizer, most)
    _show(rollout, text, protocol, tokenizer)
    if len(rollout.turns) == limits.max_turns:
        rollout.stop = "turns"


def _show(rollout: RolloutState, text: str, protocol: AgentProtocol, tokenizer) -> None:
    """Append what the model is shown after its last turn, less what it wrote of it already."""
    written = rollout.beyond
    if written and not written.strip():
        alike = takewhile(lambda pair: pair[0] == pair[1], zip(written, text, strict=False))
        text = text[len(list(alike)) :]
    rollout.turns[-1].information = text
    rollout.add(protocol.encode(text, tokenizer), written=False)
    _retokenise(rollout, protocol, tokenizer)


def _retokenise(rollout: RolloutState, protocol: AgentProtocol, tokenizer) -> None:
    """Tokenise the conversation as one text, where the protocol says so. Never in training."""
    if not protocol.retokenise:
        return
    if rollout.as_written:
        raise ValueError("tokens that a model is trained on cannot be tokenised again")
    prompt = protocol.prompt_ids(rollout.question.question, tokenizer)
    said = []
    for turn in rollout.turns:
        said += [(turn.text, True), (turn.information, False)]
    rollout.token_ids, rollout.mask = protocol.conversation(prompt, said, tokenizer)


def _inform(
    waiting: list[RolloutState], search: SearchFunction, protocol, tokenizer, limits, shown
) -> None:
    """Search the last query of every waiting rollout and append what was found."""
    if not waiting:
        return
    requests = [next_request(rollout) for rollout in waiting]
    most = limits.top_k if limits.new_results_only else shown
    for rollout, found in zip(waiting, search(requests), strict=True):
        hits = new_results(rollout, found, limits)
        if shown is not None:
            rollout.turns[-1].ranked = [hit.passage.id for hit in hits]
        take_passages(rollout, hits[:most], protocol, tokenizer, limits)


def new_results(
    rollout: RolloutState, hits: Sequence[Hit], limits: params.Rollout
) -> Sequence[Hit]:
    """`hits` without the passages that the rollout was shown before, where `limits` ask for that.

    What GAC put in counts as shown, and nothing else of that turn, which the rollout never saw.
    """
    if not limits.new_results_only:
        return hits
    seen = {passage.id for turn in rollout.turns for passage in turn.passages}
    return [hit for hit in hits if hit.passage.id not in seen]


def next_request(rollout: RolloutState) -> SearchRequest:
    """The last query, with what a retriever may read beside it."""
    question, turn = rollout.question.question, rollout.turns[-1]
    return SearchRequest(question, rollout.queries[:-1], turn.query, turn.thought)


def take_passages(
    rollout: RolloutState,
    hits: Sequence[Hit],
    protocol: AgentProtocol,
    tokenizer: PreTrainedTokenizerBase,
    limits: params.Rollout,
) -> None:
    """Append what the last query found."""
    passages = [hit.passage for hit in hits]
    if isinstance(protocol, VisitProtocol):
        rollout.listed.update((passage.id, passage) for passage in passages)
    text, _, cut = protocol.fitted(passages, tokenizer, limits.max_information_tokens)
    turn = rollout.turns[-1]
    turn.passages = [Shown(hit.passage.id, round(float(hit.score), 6)) for hit in hits]
    turn.cut = cut
    _show(rollout, text, protocol, tokenizer)
    if len(rollout.turns) == limits.max_turns:
        rollout.stop = "turns"


def record(rollout: RolloutState) -> Trajectory:
    """The trajectory of a finished rollout, scored against its gold answers."""
    question = rollout.question
    return Trajectory(
        id=question.id,
        question=question.question,
        golden_answers=list(question.golden_answers),
        turns=rollout.turns,
        answer=rollout.answer,
        em=exact_match(rollout.answer, question.golden_answers),
        f1=f1_score(rollout.answer, question.golden_answers),
        searches=len(rollout.queries),
        stop=rollout.stop,
    )
