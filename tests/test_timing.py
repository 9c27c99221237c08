"""What tells linear time from a square, with readers whose growth is known."""

import re

import pytest
from timing import assert_linear

# Long enough that the times are no trifle on a fast machine.
SHORT, LONG = "a" * 10_000, "a" * 20_000
ROUNDS = 2_000_000


def test_a_square_is_told_and_a_line_is_not():
    assert_linear(re.compile("a*b").match, SHORT * 100, LONG * 100, "line")
    with pytest.raises(AssertionError, match=r"square: .* s, twice as much .* s"):
        assert_linear(re.compile("a*b").search, SHORT, LONG, "square")


def work(rounds: int) -> None:
    for _ in range(rounds):
        pass


def test_a_busy_moment_is_waited_out():
    def read(text: str) -> None:
        tries.append(text)
        work(10 * ROUNDS if len(tries) in (2, 5) else ROUNDS * len(text) // len(SHORT))

    tries = []
    assert_linear(read, SHORT, LONG, "busy twice")
    assert len(tries) >= 9


def test_a_busy_moment_at_first_hides_no_square():
    def read(text: str) -> None:
        tries.append(text)
        work(3 * ROUNDS if len(tries) == 1 else ROUNDS * (len(text) // len(SHORT)) ** 2)

    tries = []
    with pytest.raises(AssertionError, match=r"^square: "):
        assert_linear(read, SHORT, LONG, "square")
