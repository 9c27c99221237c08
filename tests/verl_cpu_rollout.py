"""A rollout server for verl on a CPU: transformers where GPUs have vLLM, asked in the same way."""

from __future__ import annotations

import os

import ray
import torch
from verl.workers.rollout.base import BaseRollout
from verl.workers.rollout.replica import RolloutReplica, TokenOutput

NOTES = "VERL_CPU_NOTES"  # a variable: the file in which workers say where they are


def name_of(replica: int) -> str:
    """Of a server, one for each of verl's workers."""
    return f"transformers_server_{replica}"


@ray.remote(num_cpus=0)
class Server:
    """Continues token ids with the weights that it was last given."""

    def __init__(self, model: str, tokenizer: str):
        from stages.engines.generator import TransformersGenerator

        torch.set_num_threads(1)
        self.generator = TransformersGenerator(model)
        self.step, self.drawn = None, 0

    async def generate(
        self, prompt_ids: list[int], sampling_params: dict, request_id: str, **_
    ) -> TokenOutput:
        """One reply, and the log-probabilities of its tokens at the temperature it was drawn at."""
        self.drawn += 1
        temperature = sampling_params["temperature"]
        [ids] = self.generator.generate(
            [prompt_ids],
            stop=sampling_params["stop"],
            max_new_tokens=sampling_params["max_tokens"],
            temperature=temperature,
            keys=[sampling_params.get("seed", self.drawn)],
        )
        log_probs = None
        if sampling_params["logprobs"]:
            log_probs = self._log_probs(prompt_ids, ids, temperature)
        extra = {"global_steps": self.step}
        return TokenOutput(token_ids=ids, log_probs=log_probs, extra_fields=extra)

    @torch.inference_mode()
    def _log_probs(self, prompt: list[int], ids: list[int], temperature: float) -> list[float]:
        logits = self.generator.model(torch.tensor([prompt + ids])).logits[0] / temperature
        every = torch.log_softmax(logits[len(prompt) - 1 : -1], dim=-1)
        return every.gather(1, torch.tensor(ids)[:, None]).squeeze(1).tolist() if ids else []

    async def load(self, weights: dict[str, torch.Tensor], step: int) -> None:
        """Take over the trainer's weights."""
        missing, unexpected = self.generator.model.load_state_dict(weights, strict=False)
        assert not unexpected and set(missing) <= {"lm_head.weight"}, (missing, unexpected)
        self.step = step

    async def sleep(self) -> None: ...

    async def wake_up(self) -> None: ...


class Replica(RolloutReplica):
    """One server; there are no devices to place it on."""

    async def launch_servers(self) -> None:
        model, name = self.model_config, name_of(self.replica_rank)
        server = Server.options(name=name).remote(model.path, model.tokenizer_path)
        self.servers, self._server_handle, self._server_address = [server], server, name


class Weights(BaseRollout):
    """Hands the trainer's weights to the worker's server."""

    async def resume(self, tags: list[str]) -> None: ...

    async def release(self) -> None: ...

    async def update_weights(self, weights, global_steps: int | None = None, **_) -> None:
        state = {name: tensor.detach().clone() for name, tensor in weights}
        rank = torch.distributed.get_rank()
        if NOTES in os.environ:
            with open(os.environ[NOTES], "a") as file:
                print(rank, os.getppid(), global_steps, file=file)
        await ray.get_actor(name_of(rank)).load.remote(state, global_steps)
