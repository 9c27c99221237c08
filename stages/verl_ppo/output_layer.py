"""An output layer of its own weights stays with the whole model, where fused kernels read them.

verl 0.9.1 shards an output layer by itself if its weights are not the embeddings' (Qwen2.5-7B), and
gathers them when the layer is called. The fused kernels read the weights without a call, and would
meet a shard. What no module of its own has is gathered with the model, as tied weights are. Each
verl process imports this module (VERL_USE_EXTERNAL_MODULES).
"""

from __future__ import annotations

import verl.utils.fsdp_utils as sharding

alone = sharding._select_fsdp2_wrap_targets


def select_wrap_targets(model, layer_classes):
    """See `_select_fsdp2_wrap_targets` there: the modules that are sharded by themselves."""
    layer = getattr(model, "lm_head", None)
    return [module for module in alone(model, layer_classes) if module is not layer]


sharding._select_fsdp2_wrap_targets = select_wrap_targets
