"""Texts to vectors, so that a text's vector does not depend on the texts encoded beside it.

Matrix products of different shapes round differently, and so a query searched alone and in a
batch could rank near-ties differently: two runs that search in other waves would part. Every
batch here therefore has one of few shapes: exactly `rows` texts (the last batch of a length is
filled up with copies), padded to the next of a few lengths by each text's own number of tokens.
Where linear layers give a row the same bytes in any company (stages/common/linear.py), nothing is
filled up: a text alone costs one, not eight.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np

from stages.common import portable
from stages.common.models import (
    REFERENCE,
    check_tokenizer,
    check_whole,
    loading,
    model_path,
    weight_names,
)
from stages.encoders.folder import read_format, stated_pooling
from stages.encoders.pooling import MODULES, pooling_to_make
from stages.encoders.query_format import QueryFormat
from stages.params import GIVEN, Compute
from stages.plumbing.errors import InputError
from stages.plumbing.finite import NotFinite


class DenseRetriever:
    """A sentence-transformers model that knows how it is asked."""

    def __init__(self, model, query_format: QueryFormat, *, rows: int = 8, half: bool = False):
        """`rows`: texts in a forward pass; `half`: compute in float16 (weights stay float32).

        Its methods raise NotFinite for a text whose vector is not finite.
        """
        self.model = model.eval()
        self.query_format = query_format
        self.rows = rows
        self.half = half
        alike = portable.is_on() and model.device.type == "cpu" and not half
        self._least = 1 if alike else rows  # texts that a batch is filled up to

    @classmethod
    def load(
        cls, folder: str | Path, *, device: str = "cpu", rows: int = 8, half: bool = False
    ) -> DenseRetriever:
        """The retriever in `folder`, or where its reference points to."""
        query_format = read_format(folder)
        return cls(load_model(folder, device), query_format, rows=rows, half=half)

    def encode_queries(self, texts: list[str]) -> np.ndarray:
        """Unit vectors of finished query texts (QueryFormat.text). (texts, dimension), float32"""
        texts = [self.query_format.query_prompt + text for text in texts]
        return self._encode(texts, most=self.query_format.max_query_tokens)

    def encode_passages(
        self, contents: list[str], advance: Callable[[int], object] = lambda count: None
    ) -> np.ndarray:
        """Unit vectors of passages' `contents`. (passages, dimension), float32

        `advance` is told how many more are done, batch by batch.
        """
        return self._encode([self.query_format.passage_prompt + text for text in contents], advance)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self.model.get_embedding_dimension()

    def _encode(
        self,
        texts: list[str],
        advance: Callable[[int], object] = lambda count: None,
        most: int | None = None,
    ) -> np.ndarray:
        import torch

        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        ids = self._token_ids(texts, most)
        device = self.model.device
        precision = torch.autocast(device.type, torch.float16, enabled=self.half)
        with torch.inference_mode(), precision:
            for batch, length in self._batches(ids):
                filled = batch + batch[:1] * (self._least - len(batch))
                features = self.model.tokenizer.pad(
                    {"input_ids": [ids[position] for position in filled]},
                    padding="max_length",
                    max_length=length,
                    return_tensors="pt",
                )
                output = self.model(features.to(device))["sentence_embedding"]
                output = torch.nn.functional.normalize(output.float(), dim=-1)
                vectors[batch] = encoded = output[: len(batch)].cpu().numpy()
                broken = ~np.isfinite(encoded).all(axis=1)
                if broken.any():
                    text = texts[batch[int(broken.argmax())]]
                    raise NotFinite(
                        f"the retriever gives {text[:60]!r} a vector that is not finite: its "
                        f"training diverged (lower its learning rate), or {_kind(self.half)} is "
                        "too narrow for it"
                    )
                advance(len(batch))
        return vectors

    def _token_ids(self, texts: list[str], most: int | None) -> list[list[int]]:
        if not texts:
            return []
        tokenizer = self.model.tokenizer
        limit = min(self.model.max_seq_length or sys.maxsize, most or sys.maxsize)
        limit = None if limit == sys.maxsize else limit
        return tokenizer(texts, truncation=limit is not None, max_length=limit)["input_ids"]

    def _batches(self, ids: list[list[int]]) -> Iterator[tuple[list[int], int]]:
        """Positions of at most `rows` texts of one padded length, and that; the shortest first."""
        limit = self.model.max_seq_length or sys.maxsize
        groups = defaultdict(list)
        for position, row in enumerate(ids):
            groups[min(_padded(len(row)), limit)].append(position)
        for length in sorted(groups):
            group = groups[length]
            for start in range(0, len(group), self.rows):
                yield group[start : start + self.rows], length


def _kind(half: bool) -> str:
    return "float16 ('index.dtype')" if half else "float32"


def load_model(folder: str | Path, device: str = "cpu"):
    """The SentenceTransformer in a retriever folder, from safetensors and without remote code.

    What a folder refers to may be a bare model, with the pooling that retriever.json states.
    A text is cut to what the model's positions hold, where its own limit is higher or missing. A
    tokenizer without a pad token pads with its end of text, which attention leaves out.
    Its weights are float32, also where they were saved in 16 bits: trained in those, small steps
    would be lost in rounding.
    """
    from transformers.utils.logging import disable_progress_bar

    from stages.common.linear import make_portable

    disable_progress_bar()
    path = model_path(folder)
    check_tokenizer(path)
    ours = not (Path(folder) / REFERENCE).exists()
    if ours and not (Path(path) / MODULES).exists():
        raise InputError(f"{path}/{MODULES}: is not there")
    pooling = pooling_to_make(path, stated_pooling(folder))
    with loading(path):
        model = _with_pooling(path, pooling, device) if pooling else _as_saved(path, device)
        model = model.float()
    if ours:  # as `save` wrote it: all that is not in a file would be drawn at random
        names = {tuple(name.split(".")) for name in weight_names(path)}
        check_whole(path, {"missing_keys": _not_in(names, model.state_dict())})
    limit = positions(model)
    if limit is not None and (model.max_seq_length or sys.maxsize) > limit:
        model.max_seq_length = limit
    _pads(model, folder)
    return make_portable(model)


def _as_saved(path: str, device: str):
    from sentence_transformers import SentenceTransformer

    safe = {"trust_remote_code": False, "model_kwargs": {"use_safetensors": True}}
    return SentenceTransformer(path, device=device, **safe)


def _with_pooling(path: str, pooling: str, device: str):
    """A bare model with a pooling, and unit vectors as its own code has them."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer

    bare = {"trust_remote_code": False}
    inner = Transformer(
        path,
        model_kwargs=bare | {"use_safetensors": True},
        processor_kwargs=bare,
        config_kwargs=bare,
    )
    modules = [inner, Pooling(inner.get_embedding_dimension(), pooling), Normalize()]
    return SentenceTransformer(modules=modules, device=device)


def _not_in(names: set[tuple[str, ...]], weights: Iterable[str]) -> list[str]:
    """Weights of whose dotted names no end is in `names`."""
    parts = {name: tuple(name.split(".")) for name in weights}
    return [n for n, p in parts.items() if not any(p[i:] in names for i in range(len(p)))]


def _pads(model, folder: str | Path) -> None:
    """Give the tokenizer a pad token if it has none. InputError if the model knows none."""
    tokenizer, inner = model.tokenizer, getattr(model[0], "auto_model", None)
    if inner is None:
        return
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    known = inner.get_input_embeddings().num_embeddings
    if tokenizer.pad_token is None or tokenizer.pad_token_id >= known:
        raise InputError(f"{folder}: the tokenizer has no pad token of the model's, nor an end")


def positions(model) -> int | None:
    """How many tokens the positions of a SentenceTransformer hold; None where nothing says it."""
    inner = getattr(model[0], "auto_model", None)
    if inner is None:
        return None
    count = getattr(inner.config.get_text_config(), "max_position_embeddings", None)
    table = getattr(getattr(inner, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)  # RoBERTa's kind counts from the place after it
    if not count or count < 0:
        return None
    return count if padding is None else count - padding - 1


def check_length(model, asked: int | None) -> None:
    """InputError if `asked`, of `retriever.max_length`, is more tokens than `model` can read."""
    limit = positions(model)
    if asked is not None and limit is not None and asked > limit:
        raise InputError(
            f"params.yaml: 'retriever.max_length' is {asked}, but R_0 can read {limit} tokens: "
            "lower it, or null for the model's own limit"
        )


def devices(compute: Compute) -> list[str]:
    """The devices that `compute` names; in a worker, those that it was given (GIVEN). InputError
    if fewer are in sight.
    """
    import torch

    if compute.device != "cuda":
        return [compute.device] * compute.devices
    present, given = torch.cuda.device_count(), os.environ.get(GIVEN)
    wanted = compute.devices if given is None else int(given)
    if present < wanted:
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        why = "this machine has" if seen is None else f"CUDA_VISIBLE_DEVICES ({seen}) shows"
        raise InputError(f"'compute.devices' is {wanted}: {why} {present}")
    return [f"cuda:{number}" for number in range(wanted)]


def _padded(length: int) -> int:
    """The next multiple of 8 tokens, or of 32 above 64: at most a quarter of a long text."""
    step = 8 if length <= 64 else 32
    return max(1, -(-length // step)) * step
