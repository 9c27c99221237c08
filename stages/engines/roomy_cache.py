"""The keys and values that a model keeps while it writes, with room for the whole reply.

transformers' own layer is copied as a whole for every token that is written; this one is written
into. Attention reads a view of the same numbers, so the texts are the same.
"""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer


class RoomyLayer(DynamicLayer):
    """Of one attention layer: room for `room` tokens a row, of which `keys` and `values` show those
    that are there.
    """

    def __init__(self, room: int):
        super().__init__()
        self.room = room

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        super().lazy_initialization(key_states, value_states)
        self._whole = [
            torch.empty(
                (*new.shape[:-2], self.room, new.shape[-1]), dtype=new.dtype, device=new.device
            )
            for new in (key_states, value_states)
        ]

    def update(
        self, key_states: Tensor, value_states: Tensor, *args, **kwargs
    ) -> tuple[Tensor, Tensor]:
        """Add keys and values (rows, heads, new tokens, width); all that are there."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        first = self.get_seq_length()
        last = first + key_states.shape[-2]
        for whole, new in zip(self._whole, (key_states, value_states), strict=True):
            whole[..., first:last, :] = new
        self.keys, self.values = (whole[..., :last, :] for whole in self._whole)
        return self.keys, self.values


def roomy_cache(model: PreTrainedModel, room: int) -> DynamicCache | None:
    """The library's cache for `model` with room for `room` tokens; None for a model that keeps
    something else than keys and values.
    """
    if "mamba" in type(model).__name__.lower() or not model._supports_default_dynamic_cache():
        return None
    cache = DynamicCache(config=model.config)
    cache.layers = [
        RoomyLayer(room) if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache
