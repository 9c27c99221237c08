"""verl's value model without flash-attention, and with a head of zeros.

verl 0.9.1 loads it with flash-attention whatever `critic.model.override_config` says, and that
package has no wheels. Each verl process imports this module (VERL_USE_EXTERNAL_MODULES) and so
loads it with the attention of its configuration. As in stages/loop_ppo/critic.py all values start at 0.
"""

from __future__ import annotations

import torch
import verl.utils.model
from transformers import AutoModelForTokenClassification


def load_valuehead_model(local_path, torch_dtype, model_config, trust_remote_code):
    """See `verl.utils.model.load_valuehead_model`; remote code is never run."""
    model = AutoModelForTokenClassification.from_pretrained(
        local_path,
        dtype=torch_dtype,
        config=model_config,
        attn_implementation=model_config._attn_implementation,
        use_safetensors=True,
        trust_remote_code=False,
    )
    for parameter in model.score.parameters():
        torch.nn.init.zeros_(parameter)
    return model


verl.utils.model.load_valuehead_model = load_valuehead_model
