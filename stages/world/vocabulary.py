"""The words entities are named with: one endless, fixed sequence for each class.

The sequences depend on nothing, not even on a world's seed, so a language model that knows the
first words of each class can read every world that is made of them. A bigger world goes further
along the same sequences.
"""

from itertools import product

SUFFIXES = {
    "name": "man",
    "first_title": "x",
    "second_title": "q",
    "city": "ton",
    "country": "land",
    "university": "uni",
    "prize": "prize",
}

# How many words of each class the language models' tokenizer knows as whole words.
KNOWN = {
    "name": 128,
    "first_title": 36,
    "second_title": 36,
    "city": 48,
    "country": 20,
    "university": 40,
    "prize": 40,
}

_SYLLABLES = ["".join(pair) for pair in product("bcdfghklmnprstvz", "aeiou")]
_PAIRS = len(_SYLLABLES) ** 2
_STEP = 2357  # coprime with _PAIRS, so that index -> pair of syllables is one to one


def word(kind: str, index: int) -> str:
    """The word number `index` (from 0) of a class, for example `Kaliton` for a city."""
    rounds, number = divmod(index, _PAIRS)
    start = 811 * (1 + list(SUFFIXES).index(kind))
    first, second = divmod((number * _STEP + start) % _PAIRS, len(_SYLLABLES))
    stem = _SYLLABLES[first] + _SYLLABLES[second]
    while rounds:
        rounds, syllable = divmod(rounds - 1, len(_SYLLABLES))
        stem += _SYLLABLES[syllable]
    return (stem + SUFFIXES[kind]).capitalize()


def words(kind: str, count: int) -> list[str]:
    """The first `count` words of a class."""
    return [word(kind, index) for index in range(count)]
