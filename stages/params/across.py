"""Rules where two blocks must fit each other."""

from __future__ import annotations

from collections.abc import Iterator

from stages.params.choices import CorrectnessMode, IndexKind, PairSource, VisitSource
from stages.params.data import HOPS, WORLD
from stages.params.index import CODES
from stages.params.run import Params


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
        if params.base.agent.model is None:
            most = f"is more than the base agent is taught: see 'base.hops' ({params.base.hops})"
            yield "questions.hops", most, asked.hops <= params.base.hops
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
        drawn, found = params.pairs.negatives, params.candidates.top_k
        few = f"leaves no positive: a query has 'candidates.top_k' ({found}) passages in all"
        yield "pairs.negatives", few, drawn < found


def _visit_rules(params: Params) -> Iterator[tuple[str, str, bool]]:
    """Where positives come from, and what must be there for that."""
    visits, pairs, mode = params.visits, params.pairs, params.correctness.mode
    source, off = pairs.source, visits.source is VisitSource.off
    asks = f"({source.name}) needs visits: set 'visits.source' to restated or judged"
    yield "pairs.source", asks, not (pairs.of_visits and off)
    for name in ("miss", "false"):
        changes = "changes visits, and nothing looks for any: set 'visits.source'"
        yield f"visits.{name}", changes, not (off and getattr(visits, name))
    made = params.corpus.source == WORLD and params.base.agent.model is None
    taught = "(restated) reads the thoughts of the made-up world's own agent: take judged"
    yield "visits.source", taught, made or visits.source is not VisitSource.restated
    able = "(judged) asks what the made-up world's judge is not taught: set 'base.judge.model'"
    asked = visits.source is VisitSource.judged
    yield "visits.source", able, not (asked and params.base.judge.model is None)
    unread = f"rolls out what 'pairs.source' ({source.name}) does not read: set it to off"
    yield "correctness.mode", unread, pairs.of_gac or mode is CorrectnessMode.off
    tiers = "are of what the agent used: set 'pairs.source' to visits"
    yield "pairs.tiers", tiers, not pairs.tiers or source is PairSource.visits
    yield from _weight_rules(params)
    needed = "is off, and 'pairs.source' (visits_then_gac) needs it"
    then = source is PairSource.visits_then_gac and mode is CorrectnessMode.off
    yield "correctness.mode", needed, not then


def _weight_rules(params: Params) -> Iterator[tuple[str, str, bool]]:
    """Weights of what the pairs do not have. With `gac`, the default, pairs may be the user's own
    and have it, so that only the training can tell."""
    block, pairs = params.retriever, params.pairs
    own, source = pairs.source is PairSource.gac, pairs.source.name
    plain = f"weighs tiers, which 'pairs.source' ({source}) gives none: set 'pairs.tiers' to true"
    yield "retriever.tier_weights", plain, block.tier_weights is None or own or pairs.tiers
    some = f"weighs reasoning, which not all pairs of 'pairs.source' ({source}) have: take visits"
    known = own or source == PairSource.visits.name
    yield "retriever.instance_weights", some, known or not block.instance_weights


def training_questions(params: Params) -> dict[str, int]:
    """How many training questions there must be, by the key that asks for them."""
    needed = {}
    if params.iterations:
        needed["agent.questions"] = params.agent.questions
        needed["trajectories.questions"] = params.trajectories.questions or 0
    if params.replug.retrievers:
        needed["replug.questions"] = params.replug.questions
    return needed
