"""Rules where two blocks must fit each other."""

from __future__ import annotations

from collections.abc import Iterator

from stages.params.choices import IndexKind
from stages.params.data import WORLD
from stages.params.index import CODES
from stages.params.run import Params


def rules_across_blocks(params: Params) -> Iterator[tuple[str, str, bool]]:
    """As `rules`, where two blocks must fit each other: a stage of hours before must not end in
    vain.
    """
    asked, index, encoder = params.questions, params.index, params.encoder
    made = asked.source != WORLD or params.corpus.source == WORLD
    yield "questions.source", f"asks about a world: set 'corpus.source' to {WORLD} too", made
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
    if params.iterations:
        drawn, found = params.pairs.negatives, params.candidates.top_k
        few = f"leaves no positive: a query has 'candidates.top_k' ({found}) passages in all"
        yield "pairs.negatives", few, drawn < found


def training_questions(params: Params) -> dict[str, int]:
    """How many training questions there must be, by the key that asks for them."""
    needed = {}
    if params.iterations:
        needed["agent.questions"] = params.agent.questions
        needed["trajectories.questions"] = params.trajectories.questions or 0
    if params.replug.retrievers:
        needed["replug.questions"] = params.replug.questions
    return needed
