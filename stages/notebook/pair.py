"""An agent with a searcher, loaded once: it answers questions, and labels passages by GAC."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from stages.common.records import Passage, Question
from stages.common.trajectories import Trajectory
from stages.engines.loading import load_agent
from stages.evaluation.blocks import evaluation_protocol, evaluation_rollout
from stages.gac.rollouts import Start, finish
from stages.params import Params
from stages.plumbing.errors import InputError
from stages.rollout import loop
from stages.rollout.blocks import rollout_of, search_depth
from stages.rollout.protocol import load_protocol
from stages.rollout.visit_calls import with_visit_tool

if TYPE_CHECKING:
    from stages.engines.generator import Generator
    from stages.retrieval.searcher import Searcher


@dataclass(frozen=True)
class LoadedPair:
    """An agent of `folder`, with what it searches and the parameters of the run."""

    folder: str | Path
    agent: Generator
    searcher: Searcher
    params: Params

    def answer(self, question: str, golden_answers: Sequence[str] = ()) -> Trajectory:
        """How the agent answers, as the stage `evaluate` asks it. EM and F1 need gold answers."""
        limits = rollout_of(self.folder, evaluation_rollout(self.params))
        protocol = with_visit_tool(load_protocol(self.folder, evaluation_protocol(self.params)))
        asked = Question("asked", question, list(golden_answers))
        rollout = loop.start(asked, protocol, self.agent.tokenizer)
        search = partial(self.searcher.search, top_k=search_depth(limits, limits.top_k))
        loop.run([rollout], self.agent, search, protocol, limits)
        return loop.record(rollout)

    def correctness(
        self, trajectory: Trajectory, turn: int, passages: Sequence[Passage]
    ) -> dict[str, int | None]:
        """GAC of each passage at the query of `turn`, by id, as the stage `correctness` finds it.

        None where the agent came to nothing after the passage, so that a 0 would say nothing.
        """
        limits, protocol = self.params.rollout, load_protocol(self.folder, self.params.protocol)
        if not trajectory.golden_answers:
            raise InputError(f"trajectory {trajectory.id}: GAC needs its gold answers")
        if protocol.block.visit_tool is not None:
            raise InputError("an agent that opens passages is labelled by the stage correctness")
        search = partial(self.searcher.search, top_k=search_depth(limits, limits.top_k))
        starts = [Start(trajectory, turn, passage) for passage in passages]
        rows = finish(starts, self.agent, search, protocol, limits, lambda finished: None)
        return {
            passage.id: None if row["lost"] else row["em"]
            for passage, row in zip(passages, rows, strict=True)
        }


def load_pair_of(folder: str | Path, searcher: Searcher, params: Params) -> LoadedPair:
    """The agent in `folder`, loaded, with the searcher that it asks."""
    agent = load_agent(folder, params.generation, params.compute)
    return LoadedPair(folder, agent, searcher, params)
