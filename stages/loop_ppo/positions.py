"""Leave out of a model's last layer the positions that nobody reads.

A loss of PPO reads the tokens that the agent wrote, a fifth of a rollout; the rest is what they
attend to. The feed-forward part of the last layer takes each position by itself, so there it is
enough to hand over the positions of the mask: the numbers at them are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

FEED_FORWARD = ("feed_forward", "mlp")  # what the families of transformers call it


@contextmanager
def last_layer_at(backbone: nn.Module, mask: Tensor) -> Iterator[None]:
    """Within it, `backbone`, over (rows, length), is only right where `mask` (rows, length) is.

    A model whose last layer names no feed-forward part of its own computes all positions.
    """
    with ExitStack() as stack:
        if (inner := _feed_forward(backbone)) is not None:
            before = inner.register_forward_pre_hook(lambda _, inputs: (inputs[0][mask][None],))
            stack.callback(before.remove)
            after = inner.register_forward_hook(lambda _, inputs, output: _spread(output, mask))
            stack.callback(after.remove)
        yield


def _feed_forward(backbone: nn.Module) -> nn.Module | None:
    layers = getattr(backbone, "layers", None)
    found = (getattr(layers[-1], name, None) for name in FEED_FORWARD) if layers else ()
    return next(filter(None, found), None)


def _spread(output: Tensor, mask: Tensor) -> Tensor:
    """(1, positions, width) -> (rows, length, width), zeros outside the mask."""
    whole = output.new_zeros((*mask.shape, output.shape[-1]))
    whole[mask] = output[0]
    return whole
