"""Stage base: the base agent B and the judge.

In: `base` of params.yaml. Out: two model folders and metrics of both. With `base.agent.model` or
`base.judge.model` the folder is a reference to a hub model or a local folder (the paper takes
Qwen2.5-7B and Qwen2.5-72B-Instruct). Without, a small language model is made from scratch on
demonstrations in throwaway worlds: it knows the vocabulary and no fact of any world, so it serves
every seed. The agent stops short of what it could learn, so that PPO has something to gain.
"""

import argparse
from contextlib import ExitStack
from pathlib import Path

from stages.params import BaseModel, Params, load_params
from stages.plumbing.errors import run

HELD_OUT = 300  # demonstrations of each kind that measure the models


def main(argv: list[str] | None = None) -> None:
    """Make both models, or references to them."""
    arguments = _arguments(argv)
    params = load_params()
    from stages.common.records import write_json
    from stages.plumbing.folders import replaced

    with ExitStack() as scratches:  # kept until both models have their figures
        with replaced(arguments.agent) as agent, replaced(arguments.judge) as judge:
            metrics = {
                "agent": make_base_model("agent", params, params.base.agent, agent, scratches),
                "judge": make_base_model("judge", params, params.base.judge, judge, scratches),
            }
        write_json(arguments.metrics, metrics)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agent", type=Path, required=True, help="folder of the base agent")
    parser.add_argument("--judge", type=Path, required=True, help="folder of the judge")
    parser.add_argument("--metrics", type=Path, required=True)
    return parser.parse_args(argv)


def make_base_model(
    role: str, params: Params, block: BaseModel, folder: Path, scratches: ExitStack
) -> dict:
    """Fill the empty `folder` and return figures of its model; what it leaves for a restart ends
    with `scratches`."""
    from stages.common import portable
    from stages.common.models import save_model, write_reference
    from stages.common.seeds import seed_of
    from stages.language.architecture import Architecture, make_model
    from stages.language.curriculum import agent_curriculum, judge_curriculum
    from stages.language.supervised import SupervisedRecipe, train_language_model
    from stages.language.tokenizer import make_tokenizer, world_texts
    from stages.running.scratch import Scratch, fingerprint

    if block.model:
        write_reference(folder, block.model, block.revision)
        return {"model": block.model}
    portable.start_computing(params.compute)
    tokenizer = make_tokenizer(world_texts(hops=params.base.hops))
    seed = seed_of(params.base.seed, "base", role)
    model = make_model(Architecture(width=block.width, layers=block.layers), tokenizer, seed)
    if role == "agent":
        curriculum = agent_curriculum(block.easy_steps, block.doubt, params.base.hops)
    else:
        curriculum = judge_curriculum(block.easy_steps, block.window, params.base.hops)
    recipe = SupervisedRecipe(block.steps, block.batch_size, block.learning_rate)

    def seeded(step: int, name: str):
        return curriculum(step, f"{seed}/{name}")

    scratch = scratches.enter_context(Scratch(f"base-{role}", fingerprint("base", params)))
    state, rate = scratch.path / "state.pt", f"base.{role}.learning_rate"
    losses = train_language_model(model, tokenizer, seeded, recipe, state, f"base, {role}", rate)
    save_model(model, tokenizer, folder)
    metrics = {"parameters": model.num_parameters(), "loss": sum(losses[-50:]) / len(losses[-50:])}
    return metrics | examine_model(role, params, folder)


def examine_model(role: str, params: Params, folder: Path) -> dict:
    """What the model in `folder` generates on held-out demonstrations."""
    from stages.engines.generator import TransformersGenerator
    from stages.judge.prompts import Prompt
    from stages.language.examination import (
        agent_metrics,
        relevance_metrics,
        replies,
        sub_answer_metrics,
    )
    from stages.rollout.protocol import AgentProtocol
    from stages.teaching.demonstrations import demonstration
    from stages.teaching.judgements import (
        RELEVANCE_PROMPT,
        SUB_ANSWERS_PROMPT,
        relevance_demonstration,
        sub_answer_demonstration,
    )

    generator = TransformersGenerator(folder, batch_size=params.compute.generation_batch)
    names, hops = [f"held out {number}" for number in range(HELD_OUT)], params.base.hops
    if role == "agent":
        protocol, length = AgentProtocol(params.protocol), params.rollout.max_turn_tokens
        doubt = float(round(params.base.agent.doubt))
        told = [demonstration(name, doubt, hops) for name in names]
        written = replies(generator, told, protocol.stop, length)
        return agent_metrics(written, lambda text: protocol.parse(text).kind == "invalid")
    length = params.relevance.max_reply_tokens
    window = params.base.judge.window
    graded = [relevance_demonstration(name, window, hops) for name in names]
    answered = [sub_answer_demonstration(name, hops) for name in names]
    return {
        "relevance": relevance_metrics(
            replies(generator, graded, [], length),
            Prompt.load(RELEVANCE_PROMPT, "query", "reference", "passages").parse,
        ),
        "sub_answers": sub_answer_metrics(
            replies(generator, answered, [], length),
            Prompt.load(SUB_ANSWERS_PROMPT, "trajectory", "queries").parse,
        ),
    }


if __name__ == "__main__":
    run(main)
