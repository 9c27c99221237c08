"""The patterns of protocols: the same matches as regular expressions, in linear time."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from timing import assert_linear

from stages import params
from stages.common.records import Passage
from stages.conforming.transcripts import retell
from stages.plumbing.errors import InputError
from stages.rollout import patterns
from stages.rollout.patterns import Pattern
from stages.rollout.protocol import AgentProtocol, read_protocol

CONF = Path(__file__).parents[1] / "conf/protocol"
FORMS = {file.stem: read_protocol(file) for file in sorted(CONF.glob("*.yaml"))}
PATTERNS = sorted(
    {
        pattern
        for form in FORMS.values()
        for pattern in (
            form.block.search_pattern,
            form.block.answer_pattern,
            form.block.thought_pattern,
        )
    }
)
PIECES = [
    "<search>",
    "</search>",
    "<call>",
    "</call>",
    "<a>",
    "</",
    "\\boxed{",
    "\\text{",
    "}",
    " x",
]
PIECES += ["<answer>", "</answer>", "<think>", "</think>", "<|begin_of_query|>", "<|end_of_query|>"]


@pytest.mark.parametrize(
    "pattern", [*PATTERNS, "<call>(.*?)</call>|<search>(.*?)</search>", r"a\|(.*?)\.b"]
)
@given(text=st.lists(st.sampled_from([*PIECES, "a|", ".b", "\n"])).map("".join), data=st.data())
def test_matches_are_those_of_the_regular_expression(pattern, text, data):
    slow, find, place = re.compile(pattern, re.DOTALL), Pattern(pattern).finder(text), 0
    while place <= len(text):
        match, found = slow.search(text, place), find(place)
        if match is None:
            assert found is None
            return
        group = next(n for n in range(1, slow.groups + 1) if match[n] is not None)
        assert (found.start, found.end) == match.span()
        assert (found.value, found.inner) == (match[group], match.span(group))
        place = data.draw(st.integers(place + 1, match.end() + 1))


ATTACKS = {  # in what an agent writes, or in what it is shown
    "blanks after a sign": lambda n: "<" + " " * n,
    "signs with blanks": lambda n: "<  " * n,
    "blanks and a slash": lambda n: "<" + " " * n + "/" + " " * n,
    "half a mark": lambda n: "< | " + " " * n + "begin" + " " * n,
    "half marks": lambda n: "<|begin_" * n,
    "openings of searches": lambda n: "<search>" * n,
    "openings of thoughts": lambda n: "<think>" * n,
    "openings of answers": lambda n: "<answer>" * n,
    "openings, one closed": lambda n: "<search>" * n + "</search>",
    "openings of two kinds": lambda n: "<search><answer>" * n + "</search>",
    "closed by another": lambda n: "<search>" * n + "</answer>" * n,
    "openings of queries": lambda n: "<|begin_of_query|>" * n,
    "openings of other queries": lambda n: "<|begin_search_query|>" * n,
    "openings of calls": lambda n: "<tool_call>" * n,
    "empty calls": lambda n: "<tool_call></tool_call>" * n,
    "deep calls": lambda n: "<tool_call>" + "[" * n + "</tool_call>",
    "boxes": lambda n: "\\boxed{" * n,
    "boxes in a box": lambda n: "\\boxed{" + "\\boxed{a}" * n,
    "braces in a box": lambda n: "\\boxed{" + "{a}" * n,
    "open braces in a box": lambda n: "\\boxed{" + "{a" * n,
    "blanks in a box": lambda n: "\\boxed{" + " " * n,
    "blanks after a text": lambda n: "\\boxed{\\text{a}" + " " * n,
    "texts in a box": lambda n: "\\boxed{" + "\\text{a}" * n,
}
SIZE = 30_000  # repetitions: quadratic forms take seconds to minutes


def everything(form: AgentProtocol, text: str) -> None:
    """All that is done with a text from outside that needs no tokenizer."""
    form.parse(text)
    if form.block.tool is None:
        form.information([Passage("0", text, text)])
        retell(text, form)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("form", ["tiny", "r1_searcher", "simple_deep_searcher", "tool_calls"])
def test_twice_the_text_takes_no_more_than_thrice_the_time(form, attack):
    make, known = ATTACKS[attack], FORMS[form]
    assert_linear(lambda text: everything(known, text), make(SIZE), make(2 * SIZE), attack)


def test_a_pattern_of_ones_own_runs_under_a_limit(monkeypatch):
    monkeypatch.setattr(patterns, "LIMIT", 0.2)
    for key in ("search_pattern", "answer_pattern", "thought_pattern"):
        form = AgentProtocol(params.Protocol(**{key: r"<x>((?:a|aa)+)</x>"}))
        with pytest.raises(InputError, match=rf"protocol\.{key}' takes more than .* 99 characters"):
            form.parse("<x>" + "a" * 96)  # without a limit: years
        assert form.parse("<think> t </think> nothing").kind == "invalid"
