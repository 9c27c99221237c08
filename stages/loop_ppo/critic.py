"""The value model: the base language model's backbone with one number a token on top."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stages.common.linear import make_portable
from stages.loop_ppo.policy import spread
from stages.loop_ppo.positions import last_layer_at


class Critic(nn.Module):
    """Expected reward after each token; the head starts at zero, so every value does."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(backbone.config.get_text_config().hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @classmethod
    def from_base(cls, folder: str) -> Critic:
        """A critic on the backbone of the language model in `folder`."""
        from transformers import AutoModel

        backbone = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
        return make_portable(cls(backbone).eval())

    def forward(self, token_ids: Tensor, mask: Tensor) -> Tensor:
        """The value before token t + 1 is written, where `mask` says so; 0 elsewhere.

        token_ids (rollouts, length), mask (rollouts, length - 1) -> (rollouts, length - 1).
        """
        with last_layer_at(self.backbone, mask):
            hidden = self.backbone(input_ids=token_ids[:, :-1], use_cache=False).last_hidden_state
        return spread(self.head(hidden[mask]).squeeze(-1), mask)
