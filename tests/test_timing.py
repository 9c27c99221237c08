"""What tells linear time from a square, with readers whose growth is known."""

import re

import pytest
from timing import assert_linear

SHORT, LONG = "a" * 4_000, "a" * 8_000


def test_a_square_is_told_and_a_line_is_not():
    assert_linear(re.compile("a*b").match, SHORT * 100, LONG * 100, "line")
    with pytest.raises(AssertionError, match=r"square: .* s, twice as much .* s"):
        assert_linear(re.compile("a*b").search, SHORT, LONG, "square")


def test_a_busy_moment_is_waited_out():
    def read(text: str) -> None:
        tries.append(text)
        for _ in range(4_000_000 if len(tries) in (2, 4) else 400_000 * len(text) // len(SHORT)):
            pass

    tries = []
    assert_linear(read, SHORT, LONG, "busy twice")
    assert len(tries) >= 6
