"""Files of real data, which git ignores: a test that needs one is skipped where it is not."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "data/real"
RESPONSES = FOLDER / "search_r1_bamboogle.jsonl"  # of a real Search-R1 agent
PASSAGES, QUESTIONS = FOLDER / "passages.jsonl", FOLDER / "hotpotqa.jsonl"


def needs(path: Path) -> pytest.MarkDecorator:
    """Skip a test where the file `path` is missing."""
    return pytest.mark.skipif(not path.exists(), reason=f"no real data at {path}")
