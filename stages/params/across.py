"""Rules where two blocks must fit each other."""

from __future__ import annotations

from collections.abc import Iterator

from stages.params.choices import (
    CorrectnessMode,
    IndexKind,
    PairSource,
    RelevanceMode,
    VisitSource,
)
from stages.params.data import HOPS, WORLD
from stages.params.index import CODES
from stages.params.run import Params
from stages.plumbing.errors import InputError

_BY_GAC = (PairSource.gac, PairSource.visits_then_gac)  # GAC chooses positives
_USED = (PairSource.visits, PairSource.visits_then_gac)  # positives: what the agent used
WEIGHED = {"tier_weights": "tiers", "instance_weights": "reasoning"}  # of `retriever`


def rules_across_blocks(params: Params) -> Iterator[tuple[str, str, bool]]:
    """As `rules`, where two blocks must fit each other: a stage of hours before must not end in
    vain.
    """
    asked, index, encoder = params.questions, params.index, params.encoder
    made = asked.source != WORLD or params.corpus.source == WORLD
    yield "questions.source", f"asks about a world: set 'corpus.source' to {WORLD} too", made
    if asked.source == WORLD:
        told = (
            "asks for teachers, whom the world does not tell: set 'corpus.world.teachers' to true"
        )
        yield "questions.hops", told, asked.hops <= HOPS or params.corpus.world.teachers
    yield from _taught_rules(params)
    if index.kind is IndexKind.ivfpq:
        few = f"of {index.sample} is too few to train 'index.ivfpq.lists' ({index.ivfpq.lists})"
        yield "index.sample", few, index.sample >= max(index.ivfpq.lists, CODES)
        if encoder.model is None:
            fits = encoder.width % index.ivfpq.bytes == 0
            yield "index.ivfpq.bytes", f"must divide 'encoder.width' ({encoder.width})", fits
    if encoder.model is None:
        most = f"is more than 'encoder.max_length' ({encoder.max_length}) that R_0 is made for"
        length = params.retriever.max_length
        yield "retriever.max_length", most, (length or 0) <= encoder.max_length
    for key, needed in training_questions(params).items():
        most = f"is more than the training questions ({asked.training}: 'questions.training')"
        yield key, most, needed <= (asked.training or needed)
    yield from _visit_rules(params)
    if params.iterations:
        turns = params.rollout.max_turns
        last = "must be at least 2: what the last turn asks is not labelled"
        yield "rollout.max_turns", last, turns is None or turns > 1
        drawn, found = params.pairs.negatives, params.candidates.top_k
        few = f"leaves no positive: a query has 'candidates.top_k' ({found}) passages in all"
        yield "pairs.negatives", few, drawn < found


def _taught_rules(params: Params) -> Iterator[tuple[str, str, bool]]:
    """What models made from scratch are taught of the made-up world that they are asked about."""
    base, world = params.base, params.corpus.source == WORLD
    models = (base.agent, base.judge, *params.guest.values())
    if all(each.model is not None for each in models):
        return
    most = f"is more than a model made from scratch is taught: see 'base.hops' ({base.hops})"
    asked = params.questions.source == WORLD
    yield "questions.hops", most, not asked or params.questions.hops <= base.hops
    told = world and params.corpus.world.teachers
    without = f"({base.hops}) teaches models made from scratch of no teachers, and the world tells "
    without += f"of some ('corpus.world.teachers'): take more than {HOPS}"
    yield "base.hops", without, not told or base.hops > HOPS


def _visit_rules(params: Params) -> Iterator[tuple[str, str, bool]]:
    """Where positives come from, and what must be there for that."""
    visits, pairs, mode = params.visits, params.pairs, params.correctness.mode
    source, off = pairs.source, visits.source is VisitSource.off
    asks = f"({source.name}) needs visits: set 'visits.source' to restated, judged or tool"
    yield "pairs.source", asks, not (source in _USED and off)
    for name in ("miss", "false"):
        changes = "changes visits, and nothing looks for any: set 'visits.source'"
        yield f"visits.{name}", changes, not (off and getattr(visits, name))
    made = params.corpus.source == WORLD and params.base.agent.model is None
    taught = "(restated) reads the thoughts of the made-up world's own agent: take judged"
    yield "visits.source", taught, made or visits.source is not VisitSource.restated
    yield from _tool_rules(params)
    able = "asks what the made-up world's judge is not taught: set 'base.judge.model'"
    asked = visits.source is VisitSource.judged or visits.verify
    made = params.base.judge.model is None
    yield "visits.source", f"({visits.source.name}) {able}", not (asked and made)
    unread = f"rolls out what 'pairs.source' ({source.name}) does not read: set it to off"
    yield "correctness.mode", unread, source in _BY_GAC or mode is CorrectnessMode.off
    graded, by_rank = params.relevance.mode is not RelevanceMode.off, PairSource.judge_ranking
    unread = f"grades what 'pairs.source' ({source.name}) does not read: set it to off"
    yield "relevance.mode", unread, source in _BY_GAC or source is by_rank or not graded
    ranked = "is off, and 'pairs.source' (judge_ranking) is the ranking by its grades"
    yield "relevance.mode", ranked, graded or source is not by_rank
    tiers = "are of what the agent used: set 'pairs.source' to visits"
    yield "pairs.tiers", tiers, not pairs.tiers or source is PairSource.visits
    yield from _weight_rules(params)
    both = graded or mode is not CorrectnessMode.off or source not in _BY_GAC
    yield "relevance.mode", "and 'correctness.mode' cannot both be off", both
    needed = "is off, and 'pairs.source' (visits_then_gac) needs it"
    then = source is PairSource.visits_then_gac and mode is CorrectnessMode.off
    yield "correctness.mode", needed, not then


def _tool_rules(params: Params) -> Iterator[tuple[str, str, bool]]:
    """Where agents have a visit tool, and who reads what they opened."""
    source, tool = params.visits.source, VisitSource.tool
    able = params.protocol.visit_tool is not None
    calls = "(tool) reads calls of a visit tool, and 'protocol.visit_tool' is null"
    yield "visits.source", f"{calls}: take protocol=visit_tool", able or source is not tool
    listed = f"({source.name}) reads thoughts about passages that are only listed: take tool or off"
    yield "visits.source", listed, not able or source in (tool, VisitSource.off)
    rejects = "is of 'visits.source: tool': nothing else opens what could be rejected"
    yield "visits.verify", rejects, source is tool or not params.visits.verify
    taught = "is not taught to the made-up world's own agent: set 'base.agent.model'"
    made = params.base.agent.model is None
    blocks = {"protocol": params.protocol, "agent.protocol": params.agent.protocol}
    for name, block in {**blocks, "evaluate.protocol": params.evaluate.protocol}.items():
        visits = block is not None and block.visit_tool is not None
        yield f"{name}.visit_tool", taught, not (made and visits)


def _weight_rules(params: Params) -> Iterator[tuple[str, str, bool]]:
    """Weights of what the pairs do not have. With `gac`, the default, pairs may be the user's own
    and have it: see `check_weights`."""
    block, pairs = params.retriever, params.pairs
    own, source = pairs.source is PairSource.gac, pairs.source.name
    plain = f"weighs tiers, which 'pairs.source' ({source}) gives none: set 'pairs.tiers' to true"
    yield "retriever.tier_weights", plain, block.tier_weights is None or own or pairs.tiers
    some = f"weighs reasoning, which not all pairs of 'pairs.source' ({source}) have: take visits"
    known = own or source == PairSource.visits.name
    yield "retriever.instance_weights", some, known or not block.instance_weights
    for name, what in WEIGHED.items():
        none = f"weighs {what}, which published pairs do not have: run them without it"
        yield f"retriever.{name}", none, not (params.published and getattr(block, name))


def check_weights(params: Params) -> None:
    """InputError where the retriever would weigh what the pairs that this run makes do not have.

    For compose and the stages that label. The training itself looks at its pairs, which may be the
    user's own.
    """
    for name, what in WEIGHED.items():
        if getattr(params.retriever, name) and params.pairs.source is PairSource.gac:
            raise InputError(
                f"params.yaml: 'retriever.{name}' weighs {what}, which no pair that is made with "
                "'pairs.source' (gac) has: set that to visits; with pairs of your own, write the "
                "weights into params.yaml before retriever@k alone"
            )


def training_questions(params: Params) -> dict[str, int]:
    """How many training questions there must be, by the key that asks for them."""
    needed = {}
    if params.iterations:
        needed["agent.questions"] = params.agent.questions
        needed["trajectories.questions"] = params.trajectories.questions or 0
    if params.replug.retrievers:
        needed["replug.questions"] = params.replug.questions
    return needed
