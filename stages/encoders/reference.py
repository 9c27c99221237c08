"""A retriever folder that refers to a ready-made model: R_0 of the paper, or a baseline."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.models import write_reference
from stages.encoders.folder import write_format
from stages.encoders.query_format import QueryFormat

if TYPE_CHECKING:
    from stages.params import Baseline, Encoder


def format_of(block: Encoder | Baseline) -> QueryFormat:
    """How the retriever that `block` describes is asked."""
    return QueryFormat(
        block.input,
        block.query_prompt,
        block.passage_prompt,
        block.max_query_tokens,
        block.pooling,
    )


def refer_to_encoder(
    block: Encoder | Baseline, output: Path, max_length: int | None = None
) -> dict:
    """Make the folder `output` stand for the model that `block` names; returns metrics of it.

    InputError if the model cannot be had or loaded, if its pooling would be guessed, or if it
    cannot read the `max_length` tokens that its training will ask for, which would else be found
    out after the labels were made.
    """
    from stages.encoders.encoding import check_length, load_model

    write_reference(output, block.model, block.revision)
    write_format(output, format_of(block))
    model = load_model(output)
    check_length(model, max_length)
    return {"parameters": sum(p.numel() for p in model.parameters())}
