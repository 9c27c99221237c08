"""verl on a CPU, by its own extension points: a platform, and its FSDP engines for that platform.

Imported before verl's engines are (in verl's own processes by `VERL_USE_EXTERNAL_MODULES`), it lets
the code of verl's trainer run where there is no accelerator.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial

import torch
from verl.plugin.platform.platform_base import PlatformBase
from verl.plugin.platform.platform_manager import set_platform


class Memory:
    """torch.cpu, with the questions about a device's memory that verl asks, all answered by 0."""

    def __getattr__(self, name: str):
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(torch.cpu, name, None) or (lambda *_, **__: 0)

    def get_device_name(self, *_) -> str:
        return "CPU"

    def mem_get_info(self, *_) -> tuple[int, int]:
        return 0, 0


class Cpu(PlatformBase):
    """The processor as verl's device; its communication is gloo."""

    device_name = "cpu"
    vendor_name = "cpu"
    device_module = Memory()

    def is_available(self) -> bool:
        return True

    def current_device(self) -> str:
        return "cpu"

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        pass

    def synchronize(self, device_index: int | None = None) -> None:
        pass

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        pass

    def empty_cache(self) -> None:
        pass

    def get_device_capability(self, device_index: int = 0) -> tuple[None, None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "CUDA_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str):
        yield

    def profiler_start(self) -> None:
        pass

    def profiler_stop(self) -> None:
        pass

    def ray_resource_name(self) -> str:
        return "GPU"

    def ray_noset_envvars(self) -> list[str]:
        return []

    def is_ipc_supported(self) -> bool:
        return False

    def cudart(self) -> None:
        return None


def register_engines() -> None:
    """verl's FSDP engines, which it registers for cuda and npu, for this platform too."""
    from verl.workers.engine.base import EngineRegistry
    from verl.workers.engine.fsdp.transformer_impl import (
        FSDPEngineWithLMHead,
        FSDPEngineWithValueHead,
    )

    for kind, engine in (
        ("language_model", FSDPEngineWithLMHead),
        ("value_model", FSDPEngineWithValueHead),
    ):
        EngineRegistry.register(model_type=kind, backend=["fsdp", "fsdp2"], device=["cpu"])(engine)


def use_gloo() -> None:
    """verl names a backend for the processor and one for its device, which are the same here."""
    import verl.utils.distributed as distributed

    distributed.initialize_global_process_group_ray = partial(
        distributed.initialize_global_process_group_ray, backend="gloo"
    )


def do_not_pin() -> None:
    """Memory is pinned for the sake of an accelerator."""
    from verl.workers.engine.fsdp import transformer_impl

    policy = transformer_impl.CPUOffloadPolicy
    transformer_impl.CPUOffloadPolicy = lambda pin_memory: policy(pin_memory=False)


def register_rollouts() -> None:
    """The rollout `transformers`, in the place that vLLM's servers have on GPUs."""
    from verl.workers.rollout import base, replica

    base._ROLLOUT_REGISTRY["transformers", "async"] = "verl_cpu_rollout.Weights"

    def load():
        from verl_cpu_rollout import Replica

        return Replica

    replica.RolloutReplicaRegistry.register("transformers", load)


set_platform(Cpu())
use_gloo()
register_engines()
do_not_pin()
register_rollouts()
