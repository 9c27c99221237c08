"""vLLM behind the Generator interface: the engine of GPUs, and of CPUs in its CPU build.

In float32 its greedy text and its samples are those of transformers (tests/test_vllm.py holds them
to each other). In half precision near ties fall out differently between engines and batches, and
between one device a copy and several, so there `generation` says who wrote. With
`generation.batch_invariant` vLLM takes kernels whose rounding does not depend on the batch.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stages.common.records import write_json
from stages.engines.description import describe_model
from stages.engines.replies import before_end, distinct, through_stop
from stages.engines.vllm_settings import COMPILATION, DECIDED, INVARIANT
from stages.plumbing.errors import InputError
from stages.plumbing.reasons import reason

NOISE = "stages.engines.vllm_noise:KeyedNoise"
CPU_CACHE = 2 * 2**30  # bytes of keys and values on a CPU, where vLLM would take most memory
# vLLM chooses a tokenizer class by the type of the model beside it; this type has the plain one,
# which reads tokenizer.json as it is (see load_tokenizer).
PLAIN = {"model_type": "lfm2"}
ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # or engines of one machine share a core
}


class VllmGenerator:
    """A vLLM engine over one copy of a language model, on `tensor_parallel` devices.

    Weights come from safetensors, as `dtype`; on GPUs the engine takes `gpu_memory` of each, for
    weights and cache. Prompts that begin alike are computed once. Several copies are several
    workers (stages/running/workers.py). `context` and `sampled`: see load_agent.
    InputError if vLLM is missing or cannot run the model.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        device: str = "cpu",
        dtype: str = "float32",
        tensor_parallel: int = 1,
        batch_invariant: bool = False,
        gpu_memory: float = 0.85,
        context: int | None = None,
        sampled: bool = True,
    ):
        if batch_invariant and device == "cpu":
            raise InputError("'generation.batch_invariant': vLLM has it on GPUs alone")
        about = describe_model(folder)
        self.tokenizer, self._ends, self._sampled = about.tokenizer, about.ends, sampled
        self.window = min(about.window, context or sys.maxsize)
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        os.environ.update(DECIDED | {INVARIANT: str(int(batch_invariant))})
        try:
            from vllm import LLM, SamplingParams
        except ImportError as error:
            raise InputError(
                f"the engine vllm does not load here ({error}): requirements/gpu.txt has it for "
                "GPUs, requirements/vllm-cpu.txt for CPUs"
            ) from None
        self._sampling = SamplingParams
        self._words = tempfile.TemporaryDirectory(prefix="tokenizer-")
        self.tokenizer.save_pretrained(self._words.name)
        write_json(Path(self._words.name) / "config.json", PLAIN)
        try:
            self._engine = LLM(
                about.path,
                tokenizer=self._words.name,
                dtype=dtype,
                max_model_len=self.window,
                tensor_parallel_size=tensor_parallel,
                distributed_executor_backend="mp" if tensor_parallel > 1 else None,
                gpu_memory_utilization=gpu_memory,
                kv_cache_memory_bytes=CPU_CACHE if device == "cpu" else None,
                enforce_eager=device == "cpu",  # compiling takes longer than it saves there
                enable_prefix_caching=True,
                load_format="safetensors",
                trust_remote_code=False,
                generation_config="vllm",  # not the sampling settings in the folder
                compilation_config=COMPILATION,
                logits_processors=[NOISE] if sampled else None,
            )
        except (RuntimeError, ValueError) as error:
            why = f"{folder}: vLLM cannot run this model here ({reason(error)})"
            raise InputError(why) from error

    def generate(
        self,
        prompts: Sequence[list[int]],
        *,
        stop: Sequence[str],
        max_new_tokens: int,
        temperature: float = 0.0,
        keys: Sequence[int] | None = None,
    ) -> list[list[int]]:
        """See Generator. Equal prompts (with equal keys) are generated once; a prompt that fills
        the window gives no token. ValueError for samples of an engine loaded without them."""
        if temperature > 0 and not self._sampled:
            raise ValueError("this engine was loaded for greedy text alone")
        items, todo = distinct(prompts, keys, temperature, self.window)
        settings = [
            self._settings(len(prompt), key, stop, max_new_tokens, temperature)
            for prompt, key in todo
        ]
        asked = [{"prompt_token_ids": list(prompt)} for prompt, _ in todo]
        outputs = self._engine.generate(asked, settings, use_tqdm=False) if asked else []
        replies = (list(output.outputs[0].token_ids) for output in outputs)
        written = (before_end(ids, self._ends) for ids in replies)
        trimmed = (through_stop(ids, stop, self.tokenizer) for ids in written)
        done = dict(zip(todo, trimmed, strict=True))
        return [list(done.get(item, [])) for item in items]

    def _settings(self, length: int, key: int, stop, max_new_tokens: int, temperature: float):
        """vLLM's SamplingParams of one prompt of `length` tokens."""
        from stages.engines.vllm_noise import KEY, TEMPERATURE

        noise = {KEY: key, TEMPERATURE: temperature}
        return self._sampling(
            temperature=0.0,
            max_tokens=min(max_new_tokens, self.window - length),
            stop=list(stop),
            stop_token_ids=sorted(self._ends),
            include_stop_str_in_output=True,
            skip_special_tokens=False,
            detokenize=bool(stop),
            extra_args=noise if temperature > 0 else None,
        )
