"""Stage guest@NAME: an agent with another search protocol. No retriever is trained with it.

In: the block `guest.NAME`, the protocol file that it names, `base.agent`. Out: a model folder and
its figures. The folder's protocol.yaml is the agent's protocol, rollout.yaml its own limits.

With `model` the folder refers to a hub model or a local folder. Without, the guest is made as the
base agent is (stages/base.py: same sizes, same curriculum), of demonstrations rewritten in its
protocol and with its own habits. It shows whether retrievers help agents that they were not
trained with.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from stages.params import Guest, Params, Protocol, load_params, read_block
from stages.plumbing.errors import run
from stages.plumbing.named import named_arguments, named_block

HELD_OUT = 300  # demonstrations that measure a guest


def main(argv: list[str] | None = None) -> None:
    """Make one guest."""
    args = _arguments(argv)
    params = load_params()
    guest = named_block(params.guest, "guest", args.name)

    import yaml

    from stages.common.records import write_text
    from stages.plumbing.folders import replaced
    from stages.rollout.blocks import OWN_LIMITS
    from stages.rollout.protocol import FILE, read_protocol
    from stages.rollout.visit_calls import check_taught, with_visit_tool

    protocol = with_visit_tool(read_protocol(guest.protocol))
    check_taught(protocol, guest.model)
    with replaced(args.output) as folder:
        shutil.copyfile(guest.protocol, folder / FILE)
        own = {name: value for name, value in vars(guest.rollout).items() if value is not None}
        if own:
            write_text(folder / OWN_LIMITS, yaml.safe_dump(own))
        if guest.model is not None:
            refer_to_agent(guest, protocol, folder, args.metrics)
        else:
            make_guest(args.name, params, protocol, folder, args.metrics)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    return named_arguments(argv, __doc__)


def refer_to_agent(guest: Guest, protocol, folder: Path, metrics_file: Path) -> None:
    """Make `folder` stand for a ready-made model. InputError if it cannot talk its protocol."""
    from stages.common.models import write_reference
    from stages.common.records import write_json
    from stages.engines.tokenizer import load_tokenizer

    write_reference(folder, guest.model, guest.revision)
    tokenizer = load_tokenizer(folder)
    protocol.prompt_ids("?", tokenizer)
    protocol.fit([], tokenizer, 0)
    write_json(metrics_file, {"model": guest.model})


def make_guest(name: str, params: Params, protocol, folder: Path, metrics_file: Path) -> None:
    """Fill `folder` with a model made from scratch, and write its figures."""
    from stages.common import portable
    from stages.common.models import save_model
    from stages.common.records import write_json
    from stages.common.seeds import seed_of
    from stages.guests.retelling import Retelling
    from stages.guests.tokenizer import guest_tokenizer
    from stages.language.architecture import Architecture, make_model
    from stages.language.curriculum import agent_curriculum
    from stages.language.supervised import SupervisedRecipe, train_language_model
    from stages.running.scratch import Scratch, fingerprint

    portable.start_computing(params.compute)
    guest, block = params.guest[name], params.base.agent
    tokenizer = guest_tokenizer(guest, read_block(guest.protocol, Protocol), params.base.hops)
    seed = seed_of(params.base.seed, "guest", name)
    model = make_model(Architecture(width=block.width, layers=block.layers), tokenizer, seed)
    curriculum = agent_curriculum(block.easy_steps, guest.doubt, params.base.hops)
    retell = Retelling(guest, protocol, tokenizer)
    recipe = SupervisedRecipe(block.steps, block.batch_size, block.learning_rate)

    def retold(step: int, example: str):
        return retell(curriculum(step, f"{seed}/{example}"))

    stage = f"guest@{name}"
    with Scratch(stage, fingerprint(stage, params, guest.protocol)) as scratch:
        state, rate = scratch.path / "state.pt", "base.agent.learning_rate"
        losses = train_language_model(model, tokenizer, retold, recipe, state, stage, rate)
        save_model(model, tokenizer, folder)
        loss = sum(losses[-50:]) / len(losses[-50:])
        metrics = {"parameters": model.num_parameters(), "loss": loss}
        write_json(metrics_file, metrics | examine_guest(params, guest, protocol, folder))


def examine_guest(params: Params, guest: Guest, protocol, folder: Path) -> dict:
    """What the guest in `folder` writes on held-out demonstrations."""
    from stages.engines.generator import TransformersGenerator
    from stages.guests.retelling import Retelling
    from stages.language.examination import agent_metrics, replies
    from stages.rollout.blocks import with_own
    from stages.teaching.demonstrations import demonstration

    generator = TransformersGenerator(folder, batch_size=params.compute.generation_batch)
    retell = Retelling(guest, protocol, generator.tokenizer)
    length = with_own(params.rollout, guest.rollout).max_turn_tokens
    names = [f"held out {number}" for number in range(HELD_OUT)]
    doubt, hops = float(round(guest.doubt)), params.base.hops
    told = [retell(demonstration(name, doubt, hops)) for name in names]
    written = replies(generator, told, protocol.stop, length)
    return agent_metrics(written, lambda text: protocol.parse(text).kind == "invalid")


if __name__ == "__main__":
    run(main)
