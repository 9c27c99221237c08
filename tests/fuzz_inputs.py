"""Malformed and hostile inputs at every boundary: one clear error, or none, and never a traceback.

    FUZZ_CASES=10000 pytest -n 0 -s tests/test_fuzz.py     # prints what became of the cases

Without FUZZ_CASES a short version runs. A case is a function of its number.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from stages.common.records import Passage, read_passages, read_questions
from stages.judge.prompts import MalformedReply, Prompt
from stages.params import Protocol as Block
from stages.params import load_params
from stages.plumbing.errors import InputError
from stages.rollout.protocol import AgentProtocol
from stages.sources.description import read_description

ROOT = Path(__file__).parents[1]
TAGS = [
    f"<{slash}{tag}>" for tag in ("think", "search", "information", "answer") for slash in ("", "/")
]
ODD = [
    "",
    " ",
    "\n",
    "\t",
    "\0",
    "\x1b[2J",
    "\u2028",
    "\u202e",
    "\ufeff",
    "\ud800",
    "\U0001f600",
    "é",
    "< answer >",
    "<ANSWER>",
    "</ answer>",
    "<answer",
    "&lt;answer&gt;",
    "<|im_end|>",
    "<s>",
    "{",
    "}",
    "{passages}",
    "{question}",
    "%s",
    "\\",
    '"',
    "'",
    "[1]",
    "[2] 80",
    "-1",
    "1e9",
    "NaN",
    "null",
    "100",
    "Not Sure",
    "---",
    "!!python/object:os.system",
    "&a *a",
    "🙂" * 3,
    "x" * 5000,
]
PROTOCOL = AgentProtocol(Block())
PROMPT = Prompt.load(ROOT / "stages/prompts/relevance.yaml", "query", "reference", "passages")
SUB_ANSWERS = Prompt.load(ROOT / "stages/prompts/sub_answers.yaml", "trajectory", "queries")
PARAMS = (ROOT / "params.yaml").read_text(encoding="utf-8")


def text(draw: random.Random, most: int = 12) -> str:
    """Words, tags, control characters, half surrogates, now and then 100,000 characters."""
    if draw.random() < 0.005:
        return draw.choice([*TAGS, "a", "[1] "]) * (100_000 // 8)
    return "".join(
        draw.choice([*TAGS, *ODD, "born in ", "Soman "]) for _ in range(draw.randint(0, most))
    )


def agent_output(draw: random.Random, folder: Path) -> str:
    """What a model writes: the action is what stands between its own tags, else invalid."""
    kind = draw.choice(["search", "answer"])
    plain = "".join(draw.choice(["Soman ", "born in ", "<x>", "é ", "\n"]) for _ in range(4))
    whole = f"<think> {text(draw, 2)} </think> <{kind}> {plain} </{kind}>"
    written = draw.choice([text(draw), whole, text(draw, 2) + whole])
    action = PROTOCOL.parse(written)
    assert action.kind in ("search", "answer", "invalid")
    if action.kind != "invalid":
        assert action.value and action.value in written
        assert not any(tag in action.value for tag in TAGS)
    return action.kind


def retrieved_text(draw: random.Random, folder: Path) -> str:
    """What a corpus holds: no passage can open or close a tag, so it can forge no action."""
    passages = [Passage(str(i), text(draw, 3), text(draw)) for i in range(draw.randint(0, 3))]
    shown = PROTOCOL.information(passages)
    assert shown.count("<information>") == shown.count("</information>") == 1
    assert PROTOCOL.parse(shown).kind == "invalid"
    assert not any(stop in shown for stop in PROTOCOL.stop)
    return "harmless"


def judge_reply(draw: random.Random, folder: Path) -> str:
    """What a judge prints: the asked number of values, or a malformed reply."""
    count = draw.randint(1, 4)
    lines = [f"[{n}] {draw.choice(['7', '80', '101', text(draw, 1)])}" for n in range(1, count + 1)]
    for _ in range(draw.choice([0, 0, 1])):
        lines[draw.randrange(count)] = f"[{draw.randint(0, 5)}] {text(draw, 2)}"
    reply = draw.choice(["\n".join(lines), text(draw) + "\n".join(lines), text(draw)])
    try:
        values = draw.choice([PROMPT, SUB_ANSWERS]).parse(reply, count)
    except MalformedReply:
        return "malformed"
    assert len(values) == count
    return "read"


def json_lines(draw: random.Random, folder: Path) -> str:
    """Corpus and question files: mutated lines are read, or the first bad one is named."""
    rows = []
    for number in range(draw.randint(0, 3)):
        row = {"id": number, "contents": '"T"\nx', "question": "who?", "golden_answers": ["a"]}
        other = {
            "id": [str(number), "0", None, True, 1.5, text(draw, 2)],
            "contents": [f'"{text(draw, 1)}"\n{text(draw, 2)}', text(draw), 3, None],
            "question": [text(draw, 3), [], None],
            "golden_answers": [[], [""], [None], "a", [text(draw, 2)]],
            "metadata": [None, {}, [], {"supporting_ids": [["1"]]}],
        }
        for key in draw.sample(sorted(other), draw.choice([0, 1, 2])):
            row[key] = draw.choice(other[key])
        if draw.random() < 0.1:
            del row[draw.choice(sorted(row))]
        rows.append(json.dumps(row))
    content = "\n".join(rows).encode("utf-8", "surrogatepass")
    for _ in range(draw.choice([0, 0, 0, 1, 3])):
        place = draw.randint(0, len(content))
        content = (
            content[:place] + draw.choice([b"\xff", b"\n", b"{", b'"', b"\0"]) + content[place:]
        )
    file = folder / "lines.jsonl"
    file.write_bytes(content)
    return _read(lambda: draw.choice([read_passages, read_questions])(file), str(file))


def parameters(draw: random.Random, folder: Path) -> str:
    """params.yaml with some lines changed: the parameters, or the key that is wrong."""
    lines = PARAMS.splitlines()
    for _ in range(draw.choice([1, 1, 3])):
        place = draw.randrange(len(lines))
        key, colon, value = lines[place].partition(":")
        other = draw.choice(
            [text(draw, 2), "-1", "0", "3", "[]", "{a: 1}", "1e99", "yes", "~", "'x'"]
        )
        lines[place] = draw.choice([f"{key}{colon} {other}", f"{key}x{colon}{value}", other, ""])
    file = folder / "params.yaml"
    file.write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    return _read(lambda: load_params(file), str(file))


def descriptions(draw: random.Random, folder: Path) -> str:
    """A description of public data sets with anything in it."""
    block = draw.choice(["passages", "contexts", "train", "test", "x", text(draw, 1)])
    entry = draw.choice(
        ["{path: a}", "{hub: a, revision: b, file: c}", "{count: x}", text(draw, 2)]
    )
    file = folder / "d.yaml"
    file.write_bytes(f"{block}: [{entry}]\n".encode("utf-8", "surrogatepass"))
    return _read(lambda: read_description(file), str(file))


def _read(read: Callable[[], object], name: str) -> str:
    try:
        read()
    except InputError as error:
        said = str(error)
        assert said.startswith(name) and "\n" not in said, said
        return "refused"
    return "read"


BOUNDARIES = (agent_output, retrieved_text, judge_reply, json_lines, parameters, descriptions)


def fuzz(cases: int, seed: int = 0) -> Counter:
    """Run `cases` cases, the boundaries in turn; (boundary, outcome) counts. Raises at a defect."""
    outcomes: Counter = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(cases):
            boundary = BOUNDARIES[number % len(BOUNDARIES)]
            try:
                outcome = boundary(random.Random(f"{seed}/{number}"), Path(folder))
            except Exception as error:
                raise AssertionError(
                    f"case {number} of seed {seed}, {boundary.__name__}"
                ) from error
            outcomes[boundary.__name__, outcome] += 1
    return outcomes
