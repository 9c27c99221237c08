"""Our agent inside verl: one rollout a call, by the rules of stages/rollout/loop.py.

verl makes an instance for every rollout, in processes of its own on any node. What the rollouts of
a process share (tokenizer, protocol, connection to the retriever) is its `environment`.
"""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from uuid import uuid4

from verl.experimental.agent_loop.agent_loop import (
    AgentLoopBase,
    AgentLoopMetrics,
    AgentLoopOutput,
)

from stages.common.seeds import seed_of
from stages.engines.replies import before_end, through_stop
from stages.engines.tokenizer import load_tokenizer
from stages.rollout.blocks import search_depth
from stages.rollout.loop import (
    RolloutState,
    fits,
    new_results,
    next_request,
    start,
    take_passages,
    take_turn,
    waits,
)
from stages.rollout.protocol import AgentProtocol
from stages.rollout.visit_calls import with_visit_tool
from stages.serving.client import HttpSearcher
from stages.verl_ppo.counts import count
from stages.verl_ppo.data import question_of_row
from stages.verl_ppo.settings import Settings


class Environment:
    """What all rollouts of one process share."""

    def __init__(self, settings: Settings):
        self.settings, self.limits = settings, settings.limits
        self.protocol = with_visit_tool(AgentProtocol(settings.protocol))
        self.tokenizer = load_tokenizer(settings.tokenizer)
        self.searcher = HttpSearcher(*settings.retriever)

    def sampling(self, of_verl: dict, *drawn: object) -> dict:
        """vLLM's settings of one turn: verl's, where a turn ends, and a seed for what is `drawn`.

        verl would give all requests of a server one seed, and so the same noise.
        """
        seed = self.settings.seed
        own = {} if seed is None else {"seed": seed_of(seed, "rollout", *drawn) % 2**31}
        return (
            of_verl
            | own
            | {
                "max_tokens": self.limits.max_turn_tokens,
                "stop": self.protocol.stop,
                "stop_token_ids": self.settings.ends,
                "include_stop_str_in_output": True,
                "skip_special_tokens": False,
            }
        )

    def written(self, token_ids: list[int]) -> list[int]:
        """What an engine's output counts as: up to the stop string, or to the end of text."""
        ids = before_end(token_ids, self.settings.ends)
        return through_stop(ids, self.protocol.stop, self.tokenizer)

    async def show_passages(self, rollout: RolloutState) -> None:
        """Search the last query of `rollout` and append what it finds."""
        limits = self.limits
        depth = search_depth(limits, self.settings.top_k)
        [found] = await self.searcher.async_search([next_request(rollout)], depth)
        hits = new_results(rollout, found, limits)[: self.settings.top_k]
        take_passages(rollout, hits, self.protocol, self.tokenizer, limits)


@cache
def environment_of(path: str) -> Environment:
    """This process's environment for the settings in `path`."""
    return Environment(Settings.read(path))


class SearchAgentLoop(AgentLoopBase):
    """Writes, searches and answers. The mask is 0 on what the agent was shown."""

    def __init__(self, *args, settings: str, **kwargs):
        """`settings` is the path of a Settings file; the rest is verl's."""
        # verl's own way to join messages, which wants other tokens of other models, is not used.
        super().__init__(*args, **{**kwargs, "hf_model_type": None})
        self.environment = environment_of(settings)

    async def run(self, sampling_params: dict, **row) -> AgentLoopOutput:
        """One finished rollout of the question in `row` (see data.py)."""
        known, spent = self.environment, AgentLoopMetrics()
        rollout = start(question_of_row(row), known.protocol, known.tokenizer, as_written=True)
        step, number = int(row.get("global_steps", 0)), int(row.get("session_id", 0))
        drawn = (step, rollout.question.id, number)  # number: of the question's rollouts
        request = uuid4().hex if known.settings.seed is None else "-".join(map(str, drawn))
        # The weights that wrote it, as verl counts them: those after the step before.
        weights = {"min_global_steps": step - 1, "max_global_steps": step - 1}
        log_probs: list[float] = []  # of the response; 0 where the agent was shown a token
        while rollout.stop is None:
            if not fits(rollout, known.limits, known.settings.window):
                rollout.stop = "length"
                break
            began = time.monotonic()
            output = await self.server_manager.generate(
                request_id=request,  # the same for all turns: the same server, its cache
                prompt_ids=list(rollout.token_ids),
                sampling_params=known.sampling(sampling_params, *drawn, len(rollout.turns)),
            )
            spent.generate_sequences += time.monotonic() - began
            weights |= {name: output.extra_fields.get(name, weights[name]) for name in weights}
            ids = known.written(list(output.token_ids))
            take_turn(rollout, ids, known.protocol, known.tokenizer, known.limits)
            if waits(rollout):
                began = time.monotonic()
                await known.show_passages(rollout)
                spent.tool_calls += time.monotonic() - began
            log_probs += list(output.log_probs or [])[: len(ids)]
            log_probs += [0.0] * (len(rollout.token_ids) - rollout.prompt_length - len(log_probs))
        count(rollout, step, Path(known.settings.counts))
        asked = bool(sampling_params.get("logprobs"))
        return self._output(rollout, log_probs if asked else None, spent, weights)

    def _output(self, rollout, log_probs, spent: AgentLoopMetrics, weights: dict):
        """verl's form of a rollout; where nothing was written, one masked token stands for it."""
        ids, mask = (part[rollout.prompt_length :] for part in (rollout.token_ids, rollout.mask))
        if not self.environment.settings.mask_retrieved:
            mask = [1] * len(ids)
        if not ids:
            ids, mask = rollout.token_ids[-1:], [0]
            log_probs = None if log_probs is None else [0.0]
        return AgentLoopOutput(
            prompt_ids=rollout.token_ids[: rollout.prompt_length],
            response_ids=ids,
            response_mask=mask,
            response_logprobs=log_probs,
            num_turns=len(rollout.turns),
            metrics=spent,
            extra_fields={**weights, "answer": rollout.answer},
        )
