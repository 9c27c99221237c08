"""Texts to vectors, so that a text's vector does not depend on the texts encoded beside it.

Matrix products of different shapes round differently, and so a query searched alone and in a
batch could rank near-ties differently: two runs that search in other waves would part. Every
batch here therefore has one of few shapes: exactly `rows` texts (the last batch of a length is
filled up with copies), padded to the next of a few lengths by each text's own number of tokens.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from stages.common.models import model_path
from stages.encoders.folder import Asking, read_asking
from stages.params import Compute
from stages.plumbing.errors import InputError


class Retriever:
    """A sentence-transformers model that knows how it is asked."""

    def __init__(self, model, asking: Asking, *, rows: int = 8, half: bool = False):
        """`rows`: texts in a forward pass; `half`: compute in float16 (weights stay float32)."""
        self.model = model.eval()
        self.asking = asking
        self.rows = rows
        self.half = half

    @classmethod
    def load(
        cls, folder: str | Path, *, device: str = "cpu", rows: int = 8, half: bool = False
    ) -> Retriever:
        """The retriever in `folder`, or where its reference points to."""
        asking = read_asking(folder)
        return cls(load_model(folder, device), asking, rows=rows, half=half)

    def encode_queries(self, texts: list[str]) -> np.ndarray:
        """Unit vectors of finished query texts (see Asking.text). (texts, dimension), float32"""
        texts = [self.asking.query_prompt + text for text in texts]
        return self._encode(texts, most=self.asking.max_query_tokens)

    def encode_passages(
        self, contents: list[str], advance: Callable[[int], object] = lambda count: None
    ) -> np.ndarray:
        """Unit vectors of passages' `contents`. (passages, dimension), float32

        `advance` is told how many more are done, batch by batch.
        """
        return self._encode([self.asking.passage_prompt + text for text in contents], advance)

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
            for places, length in self._batches(ids):
                filled = places + places[:1] * (self.rows - len(places))
                features = self.model.tokenizer.pad(
                    {"input_ids": [ids[place] for place in filled]},
                    padding="max_length",
                    max_length=length,
                    return_tensors="pt",
                )
                output = self.model(features.to(device))["sentence_embedding"]
                output = torch.nn.functional.normalize(output.float(), dim=-1)
                vectors[places] = output[: len(places)].cpu().numpy()
                advance(len(places))
        return vectors

    def _token_ids(self, texts: list[str], most: int | None) -> list[list[int]]:
        if not texts:
            return []
        tokenizer = self.model.tokenizer
        limit = min(self.model.max_seq_length or sys.maxsize, most or sys.maxsize)
        limit = None if limit == sys.maxsize else limit
        return tokenizer(texts, truncation=limit is not None, max_length=limit)["input_ids"]

    def _batches(self, ids: list[list[int]]) -> Iterator[tuple[list[int], int]]:
        """Places of at most `rows` texts of one padded length, and that length. Shortest first."""
        limit = self.model.max_seq_length or sys.maxsize
        groups = defaultdict(list)
        for place, row in enumerate(ids):
            groups[min(_padded(len(row)), limit)].append(place)
        for length in sorted(groups):
            places = groups[length]
            for start in range(0, len(places), self.rows):
                yield places[start : start + self.rows], length


def load_model(folder: str | Path, device: str = "cpu"):
    """The SentenceTransformer in a retriever folder, from safetensors and without remote code."""
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    return SentenceTransformer(
        model_path(folder),
        device=device,
        trust_remote_code=False,
        model_kwargs={"use_safetensors": True},
    )


def devices(compute: Compute) -> list[str]:
    """The devices that `compute` names, as far as CUDA_VISIBLE_DEVICES leaves them in sight: Ray
    sets it for each of its workers. InputError if this machine has fewer.
    """
    import torch

    if compute.device != "cuda":
        return [compute.device] * compute.devices
    present = torch.cuda.device_count()
    narrowed = present > 0 and "CUDA_VISIBLE_DEVICES" in os.environ
    if present < compute.devices and not narrowed:
        raise InputError(f"'compute.devices' is {compute.devices}: this machine has {present}")
    return [f"cuda:{number}" for number in range(min(compute.devices, present))]


def _padded(length: int) -> int:
    """The next multiple of 8 tokens, or of 32 above 64: at most a quarter of a long text."""
    step = 8 if length <= 64 else 32
    return max(1, -(-length // step)) * step
