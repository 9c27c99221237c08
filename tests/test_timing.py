"""What tells linear time from a square: by times that are given, and by readers of known growth."""

import itertools
import re

import pytest
import timing
from timing import assert_linear

LINE = "a" * 400_000
CUBE = "a" * 600  # on a fast machine too, more than a trifle


@pytest.fixture
def given(monkeypatch):
    """Sets what each run takes: seconds, one after the other, the last three again and again."""

    def give(*times: float) -> list[float]:
        known = itertools.chain(times, itertools.cycle(times[-3:]))

        def seconds(run, text) -> float:
            taken.append(next(known))
            return taken[-1]

        monkeypatch.setattr(timing, "seconds", seconds)
        return taken

    taken: list[float] = []
    return give


def test_a_line_is_told_from_what_grows_faster():
    assert_linear(re.compile("a*b").match, LINE, 2 * LINE, "line")
    with pytest.raises(AssertionError, match=r"cube: .* s, twice as much .* s"):
        assert_linear(re.compile("a*a*b").search, CUBE, 2 * CUBE, "cube")


def test_a_square_is_told(given):
    given(0.1, 0.4, 0.1)
    with pytest.raises(AssertionError, match=r"^square: 0\.100 s, twice as much 0\.400 s"):
        assert_linear(len, "", "", "square")


def test_a_busy_moment_is_waited_out(given):
    taken = given(0.1, 0.9, 0.1, 0.1, 0.9, 0.1, 0.1, 0.2, 0.1)
    assert_linear(len, "", "", "busy twice")
    assert len(taken) == 9


def test_a_moment_that_slows_the_short_text_alone_hides_no_square(given):
    given(0.2, 0.4, 0.1)
    with pytest.raises(AssertionError, match=r"^square: "):
        assert_linear(len, "", "", "square")
