"""Ask one question and watch the agent search for its answer.

    python -m stages.tools.ask "Where was the author of the book Hopox Vihoq born?"
    python -m stages.tools.ask --agent 1 --retriever bm25    # a test question of this run
    python -m stages.tools.ask --compare 0 2                 # the same agent with R_0 and R_2
    python -m stages.tools.ask "..." --compare 2 intfloat/e5-base-v2

Prints the trajectory as it happens: thoughts, queries, passages with their scores, the answer.
Without a question it asks the first of the first test set, and says which.
`--agent` and `--retriever` are an iteration of the flywheel (`bm25` too), a name (a guest's,
replug), a folder or a hub id. The last iteration of the run is the default. A retriever that comes
without its `--index` gets one of this corpus in tmp/ask, once.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stages.params import Params, Protocol, load_params
from stages.plumbing.errors import InputError, run

if TYPE_CHECKING:
    from rich.console import Console

    from stages.common.trajectories import Turn

SHOWN = 240  # characters of a passage
HEARD = ("searches", "answer", "no answer")  # lines that are told while a table is being made
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # but line breaks and tabs
MADE = Path("tmp/ask")  # references and indexes made for a question


def main(argv: list[str] | None = None) -> None:
    """Answer one question with one retriever, or with two."""
    args = _arguments(argv)
    params = load_params()
    if args.question is None:
        args.question = _test_question(args.questions)
    elif not args.question.strip():
        raise InputError("the question is empty")
    elif not _is_utf8(args.question):
        raise InputError("the question is not valid UTF-8")
    if args.compare and (args.retriever or args.index):
        raise InputError("--compare names both retrievers: leave out --retriever and --index")
    last = list(params.iterations)[-1] if params.iterations else "0"

    from rich.console import Console

    told = Console(highlight=False, stderr=True)
    told.print(_plain(f"asks      {args.question}"), soft_wrap=True)
    told.print(_plain(f"loading   {args.agent or last} as the agent"), soft_wrap=True)

    from transformers.utils.logging import disable_progress_bar

    from stages.engines.loading import load_agent

    disable_progress_bar()
    console = Console(highlight=False)
    args.agent = _place("models/agent", args.agent or last)
    # no `context`: an agent of the hub may have limits of its own
    agent = load_agent(args.agent, params.generation, params.compute)
    if args.compare is None:
        for text in trajectory(agent, args.retriever or last, args, params):
            console.print(_plain(text), soft_wrap=True)
        return
    console.print(_side_by_side(agent, args, params, told))


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("question", nargs="?", help="left out: the first test question")
    parser.add_argument("--agent", help="iteration, name, folder or hub id")
    parser.add_argument("--retriever", help="iteration, bm25, name, folder or hub id")
    parser.add_argument("--index", type=Path, help="folder of the index of another retriever")
    parser.add_argument("--compare", nargs=2, metavar="R", help="two retrievers side by side")
    parser.add_argument("--passages", type=Path, default=Path("data/corpus/passages.jsonl"))
    parser.add_argument("--questions", type=Path, default=Path("data/questions/test"))
    return parser.parse_args(argv)


def _test_question(folder: Path) -> str:
    """The first question of the first test set."""
    from stages.common.records import read_questions

    for file in sorted(folder.glob("*.jsonl")):
        for question in read_questions(file):
            return question.question
    raise InputError(f"{folder}: no test question is there; give one, or run `dvc repro questions`")


def _is_utf8(text: str) -> bool:
    """Whether a word of the command line is; Python keeps other bytes as halves of pairs."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def searcher_of(retriever: str, args: argparse.Namespace, params: Params):
    """The searcher of an iteration's retriever, of BM25, or of another retriever and its index."""
    from stages.retrieval import searcher

    folder = None if retriever == "bm25" else _place("models/retriever", retriever)
    plain = Path(retriever).name == retriever  # and no path, which data/index would give way to
    index = args.index or Path("data/index", retriever)
    if args.index is None and not (plain and index.is_dir()):
        index = _indexed(folder, args.passages, params)
    loaded = searcher.load_searcher(index, args.passages, folder, params.compute)
    if loaded.about["type"] == "bm25" and folder is not None:
        raise InputError(f"{index}: is a BM25 index, not one of {folder}: give --retriever bm25")
    return loaded


def _place(parent: str, name: str) -> Path:
    """`parent`/`name` for an iteration's number or a name, the folder that `name` is, or a
    reference to the hub model of that id."""
    for place in (Path(parent, name), Path(name)):
        if place.is_dir():
            return place
    if name.count("/") != 1:
        raise InputError(
            f"{name}: neither {parent}/{name} nor a folder; has this iteration been run?"
        )
    return _of_hub(name, retriever=parent.endswith("retriever"))


def _of_hub(name: str, *, retriever: bool) -> Path:
    """A folder that stands for a hub model; a retriever is asked with the prompts it brings."""
    from stages.common.models import write_reference

    folder = MADE / name.replace("/", "--")
    write_reference(folder, name, None)
    if retriever:
        from stages.encoders.encoding import load_model
        from stages.encoders.folder import write_format
        from stages.encoders.query_format import QueryFormat

        prompts = load_model(folder).prompts
        passage = prompts.get("document") or prompts.get("passage") or ""
        write_format(folder, QueryFormat("query", prompts.get("query") or "", passage))
    return folder


def _indexed(folder: Path | None, passages: Path, params: Params) -> Path:
    """The index of the corpus by a retriever that has none, built once in tmp/ask."""
    from stages import index
    from stages.running.scratch import fingerprint

    if folder is None:
        raise InputError("data/index/bm25: not there; has `dvc repro index-bm25` been run?")
    output = MADE / f"index-{fingerprint('index', params, folder, passages)}"
    if not (output / "index.json").exists():
        words = ["--passages", passages, "--retriever", folder, "--output", output]
        index.main([str(word) for word in [*words, "--metrics", f"{output}.json"]])
    return output


def trajectory(agent, retriever: str, args: argparse.Namespace, params: Params) -> Iterator[str]:
    """What is thought, asked, found and answered, piece by piece as it happens."""
    from stages.common.records import Question
    from stages.evaluation.blocks import evaluation_protocol, evaluation_rollout
    from stages.rollout.blocks import rollout_of, search_depth
    from stages.rollout.loop import (
        fits,
        new_results,
        next_request,
        start,
        take_passages,
        take_turn,
        waits,
    )
    from stages.rollout.protocol import load_protocol
    from stages.rollout.visit_calls import with_visit_tool

    protocol = with_visit_tool(load_protocol(args.agent, evaluation_protocol(params)))
    block = rollout_of(args.agent, evaluation_rollout(params))
    limits = block
    searcher = searcher_of(retriever, args, params)
    rollout = start(Question("asked", args.question, []), protocol, agent.tokenizer)
    while rollout.stop is None and fits(rollout, limits, agent.window):
        [ids] = agent.generate(
            [rollout.token_ids], stop=protocol.stop, max_new_tokens=limits.max_turn_tokens
        )
        take_turn(rollout, ids, protocol, agent.tokenizer, limits)
        yield from _said(rollout.turns[-1], protocol.block)
        if waits(rollout):
            [found] = searcher.search([next_request(rollout)], search_depth(block, block.top_k))
            hits = new_results(rollout, found, limits)[: block.top_k]
            take_passages(rollout, hits, protocol, agent.tokenizer, limits)
            yield from (_found(hit) for hit in hits)
    yield (
        f"answer    {rollout.answer}"
        if rollout.answer
        else f"no answer ({rollout.stop or 'length'})"
    )
    count = len(rollout.queries)
    yield f"{count} search{'' if count == 1 else 'es'}"


def _said(turn: Turn, block: Protocol) -> Iterator[str]:
    if thought := _untagged(turn.thought, block):
        yield f"thinks    {thought}"
    if turn.query is not None:
        yield f"searches  {turn.query}"
    if turn.visit is not None:
        yield f"{'is denied' if turn.visit.refused else 'opens    '} {turn.visit.id}"


def _untagged(thought: str, block: Protocol) -> str:
    """A thought without the tags that a model left open in it, the last of them perhaps cut off."""
    names = "|".join(map(re.escape, block.tags)) or r"(?!)"
    marks = "".join(f"|{re.escape(mark)}" for mark in block.marks)
    return re.sub(rf"</?(?:{names})(?:>|\s*$){marks}", "", thought).strip()


def _found(hit) -> str:
    text = hit.passage.text
    cut = text if len(text) <= SHOWN else f"{text[:SHOWN].rstrip()} ..."
    return f"  {hit.score:6.3f}  {hit.passage.title}: {cut}"


def _side_by_side(agent, args: argparse.Namespace, params: Params, told: Console):
    """The table of both; `told` hears each query and answer as it happens, for two take a while."""
    from rich.table import Table

    table = Table(show_lines=True)
    columns = []
    for retriever in args.compare:
        table.add_column(_name(retriever), ratio=1)
        told.print(_plain(f"loading   {_name(retriever)}"), soft_wrap=True)
        lines = []
        for line in trajectory(agent, retriever, args, params):
            lines.append(line)
            if line.startswith(HEARD):
                told.print(_plain(line), soft_wrap=True)
        columns.append("\n".join(lines))
    table.add_row(*map(_plain, columns))
    return table


def _name(retriever: str) -> str:
    return f"R_{retriever}" if retriever.isdigit() else retriever


def _plain(text: str):
    """What a model or a passage says, with nothing in it that rich or a terminal would obey."""
    from rich.text import Text

    return Text(CONTROL.sub("\ufffd", text))


if __name__ == "__main__":
    run(main)
