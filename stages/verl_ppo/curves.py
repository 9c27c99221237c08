"""The curves of a training by verl: its own figures of each update, our counts of its rollouts.

verl's file logger starts a file anew, so each attempt has its own, named by the steps that were
made before it. What a later attempt says of a step holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from stages.params import Advantage, Kl
from stages.plumbing.errors import InputError
from stages.plumbing.finite import Watch
from stages.ppo.task import LIMITED, StepMetrics, step_metrics
from stages.verl_ppo.counts import counted
from stages.verl_ppo.files import Files

OF_VERL = {  # our column: verl's name
    "reward": "critic/score/mean",  # without the KL that `agent.kl` may take off it
    "entropy": "actor/entropy",
    "explained_variance": "critic/vf_explained_var",
    "policy_loss": "actor/loss",  # with the KL term
    "value_loss": "critic/vf_loss",
    "clip_fraction": "actor/pg_clipfrac",
}
GRADIENTS = ("actor/grad_norm", "critic/grad_norm")  # verl leaves a step out where they are NaN
RATES = {"critic/": "agent.value_learning_rate", "actor/": "agent.policy_learning_rate"}
KL = {
    Kl.low_var_loss: "actor/kl_loss",  # while the step learns; our loop takes it just before
    Kl.k1_reward: "actor/reward_kl_penalty",  # a mean over rollouts, ours is one over tokens
}
COUNTED = ("em", "searches", "response_length", "invalid", *LIMITED)


class Curves:
    """Reads rows as verl makes them; `rows` has those so far, in order."""

    def __init__(
        self,
        files: Files,
        done: int,
        rollouts: int,
        kl: Kl,
        advantage: Advantage = Advantage.gae,
    ):
        """Take up the first `done` steps from earlier attempts; a step has `rollouts` rollouts."""
        self.files, self.rollouts = files, rollouts
        self.columns, names = step_metrics(advantage), OF_VERL | {"kl": KL[kl]}
        self.names = {name: names[name] for name in names if name in self.columns}
        self.file, self.position = files.metrics(done), 0
        self.watch = Watch("agent")
        logged: dict[int, dict] = {}
        for made, file in sorted((_made(file), file) for file in files.all_metrics()):
            logged = {step: metrics for step, metrics in logged.items() if step <= made}
            logged |= {line["step"]: line["data"] for line, _ in _lines(file, 0)}
        self.rows = [self._row(step, logged[step]) for step in sorted(logged) if step <= done]

    def new(self) -> list[StepMetrics]:
        """The rows that came since the last call."""
        rows = []
        for line, position in _lines(self.file, self.position):
            rows.append(self._row(line["step"], line["data"]))
            self.position = position
        self.rows += rows
        return rows

    def _row(self, step: int, metrics: dict) -> StepMetrics:
        """InputError if rollouts are missing, for verl goes on with the others, or for a NaN."""
        lines = counted(self.files.counts, step)
        missing = self.rollouts - len(lines)
        if missing > 0:
            raise InputError(
                f"agent, step {step}: {missing} of {self.rollouts} rollouts failed; verl's output "
                "says why"
            )
        row = {name: metrics[of_verl] for name, of_verl in self.names.items()}
        self._see(step, metrics)
        row |= {name: sum(line[name] for line in lines) / len(lines) for name in COUNTED}
        return {
            name: step if name == "step" else round(float(row[name]), 6) for name in self.columns
        }

    def _see(self, step: int, metrics: dict) -> None:
        """NotFinite if a figure of verl's is not finite, which its file says as null.

        The value model comes first: where it diverges, the policy follows.
        """
        named = [*self.names.values(), *(name for name in GRADIENTS if name in metrics)]
        for part, rate in RATES.items():
            known = {f"verl's '{n}'": metrics[n] for n in named if n.startswith(part)}
            self.watch.see(step, rate, known)


def _made(file: Path) -> int:
    """The steps made before the attempt that wrote `file`."""
    return int(file.stem.rpartition("-")[2])


def _lines(file: Path, position: int) -> Iterator[tuple[dict, int]]:
    """(object, position behind it) of each complete line of `file` from `position` on."""
    if not file.exists():
        return
    with open(file, "rb") as stream:
        stream.seek(position)
        for line in stream:
            if not line.endswith(b"\n"):
                return
            position += len(line)
            yield json.loads(line), position  # of its figures ours are checked when they are taken
