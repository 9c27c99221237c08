"""What vLLM is told wherever it writes, here and inside verl, since results depend on it."""

from __future__ import annotations

INVARIANT = "VLLM_BATCH_INVARIANT"
# Not left to the shell, since results depend on it: FlashInfer's sampler is not repeatable under
# load (vLLM's issue 51187).
DECIDED = {"VLLM_USE_FLASHINFER_SAMPLER": "0"}
# FlashInfer's fused all-reduce of several devices sums in an order that varies from run to run
# (vLLM's issue 51290).
COMPILATION = {"pass_config": {"fuse_allreduce_rms": False}}
