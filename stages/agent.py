"""Step A, agent training: PPO of Agent_k from the base agent against the frozen R_(k-1).

In: the base agent, the retriever with its index, the training questions.
Out: the agent as a plain transformers folder, its curves and its figures.
Every turn starts from the base agent again, never from the agent before. As in the paper: exact
match as the reward, GAE with a value model, low-variance KL to the base, clipping, and retrieved
tokens masked out of all of them. Ours: KL is a term of the loss, and the loop is small enough for a
CPU around `verl.trainer.ppo.core_algos`.
"""

from __future__ import annotations

import argparse
import csv
import io
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

from stages import errors
from stages.errors import InputError
from stages.params import Params, load_params

ENDS = 5  # steps averaged at either end of a curve


def train_agent(arguments: argparse.Namespace, params: Params) -> None:
    """Train, and write the model folder, the curves and the figures."""
    from stages.ppo.trainer import questions_of_step, train
    from stages.records import read_questions, write_json, write_text
    from stages.retrieval.searcher import load_searcher
    from stages.rollout.loop import Limits
    from stages.rollout.protocol import Protocol
    from stages.scratch import Scratch, fingerprint
    from stages.seeds import seed_of
    from stages.tracking import live

    questions = read_questions(arguments.questions)
    if len(questions) < params.agent.questions:
        raise InputError(
            f"{arguments.questions}: holds {len(questions)} questions, 'agent.questions' asks for "
            f"{params.agent.questions} a step"
        )
    seed = seed_of(params.seed, "agent", arguments.turn)
    searcher = load_searcher(
        arguments.index, arguments.passages, arguments.retriever, params.compute
    )
    generator, learner = load_models(arguments.base, params, seed)
    settings = [params.seed, params.agent, params.protocol, params.rollout, arguments.turn]
    inputs = [arguments.base, arguments.retriever, arguments.index, arguments.passages]
    key = fingerprint(settings, *inputs, arguments.questions)
    with (
        Scratch(f"agent@{arguments.turn}", key) as scratch,
        live("agent", arguments.turn) as tracked,
    ):
        curves = train(
            learner,
            generator,
            partial(searcher.search, top_k=params.agent.top_k),
            questions,
            Protocol(params.protocol),
            replace(Limits.of(params.rollout), max_searches=params.agent.max_searches),
            params.agent,
            params.compute.checkpoint_steps,
            seed,
            scratch.path,
            tracked.log,
        )
        save_model(generator, scratch.path / "model", arguments.output)
    write_text(arguments.curves, as_csv(curves))
    drawn = {
        question.id
        for step in range(params.agent.steps)
        for question in questions_of_step(questions, step, params.agent.questions, seed)
    }
    write_json(arguments.metrics, summary(curves, len(questions), len(drawn)))


def load_models(base: Path, params: Params, seed: int):
    """The live policy inside its generator, and the learner: policy, critic, frozen reference."""
    import torch
    from transformers import AutoModelForCausalLM

    from stages.models import model_path
    from stages.ppo.critic import Critic
    from stages.ppo.learner import Learner
    from stages.rollout.agents import load_agent

    generator = load_agent(base, params.compute)
    generator.model.float()
    reference = AutoModelForCausalLM.from_pretrained(
        model_path(base), dtype=torch.float32, use_safetensors=True
    )
    critic, device = Critic.from_base(model_path(base)), params.compute.device
    learner = Learner(generator.model, critic.to(device), reference.to(device), params.agent, seed)
    return generator, learner


def save_model(generator, temporary: Path, output: Path) -> None:
    """Write the policy and its tokenizer beside the checkpoint, then move them into place."""
    shutil.rmtree(temporary, ignore_errors=True)
    generator.model.save_pretrained(temporary)
    generator.tokenizer.save_pretrained(temporary)
    shutil.rmtree(output, ignore_errors=True)
    output.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(temporary, output)


def as_csv(curves: list[dict]) -> str:
    """The curves as CSV with a header, one row a step."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(curves[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(curves)
    return text.getvalue()


def summary(curves: list[dict], questions: int, drawn: int) -> dict:
    """Counts of questions, and each curve's mean over its first and its last steps."""
    figures: dict = {
        "in": questions,
        "out": drawn,
        "dropped": {"not_drawn": questions - drawn},
        "steps": len(curves),
    }
    for end, rows in (("first", curves[:ENDS]), ("last", curves[-ENDS:])):
        figures[end] = {
            name: round(sum(row[name] for row in rows) / len(rows), 6)
            for name in curves[0]
            if name != "step"
        }
    return figures


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("base", "retriever", "index", "passages", "questions"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--turn", required=True, help="k, the turn of the flywheel")
    for name in ("output", "metrics", "curves"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    train_agent(parser.parse_args(argv), load_params())


if __name__ == "__main__":
    errors.run(main)
