"""Shared fixtures. Tests run on one thread each, offline, on tiny models made on the spot."""

import os
import shutil

import pytest
from hypothesis import settings

import stages  # noqa: F401  before numpy: it sets the environment of portable sums

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

settings.register_profile("shared", deadline=None, derandomize=True)
settings.load_profile("shared")

LONGEST = ("test_pipeline.py", "test_remote.py", "test_index.py")


def pytest_collection_modifyitems(items):
    """The longest files first: a worker that began one last would end long after the other."""
    items.sort(key=lambda item: item.path.name not in LONGEST)


@pytest.fixture
def browser():
    """The path of a Chromium; a test without one is skipped."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        pytest.skip("no Chromium to look with")
    return found
