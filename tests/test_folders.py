"""Folders that stages write: who may read them, and what a failure leaves."""

import os

import pytest
import retrieval_world as world
from rollout_models import make_model, make_tokenizer

from stages.common.models import save_model
from stages.plumbing.folders import replaced


@pytest.fixture(params=[0o022, 0o077, 0o002], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_models_are_read_by_whom_the_umask_lets_read(umask, tmp_path):
    tokenizer = make_tokenizer()
    save_model(make_model("qwen2", tokenizer), tokenizer, tmp_path / "agent")
    world.tiny_retriever(tmp_path / "retriever")
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert {file.name for file in files} >= {"model.safetensors", "tokenizer.json", "modules.json"}
    assert not [file for file in files if file.name == ".mode"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o666 & ~umask}


def test_a_folder_is_replaced_by_a_whole_one_alone(tmp_path):
    folder = tmp_path / "models/0"
    for text in ("first", "second"):
        with replaced(folder) as new:
            (new / "weights").write_text(text)
            assert not folder.exists() or (folder / "weights").read_text() == "first"
        assert (folder / "weights").read_text() == text
    for end in (ValueError, KeyboardInterrupt):
        with pytest.raises(end), replaced(folder) as new:
            (new / "weights").write_text("half")
            raise end
        assert (folder / "weights").read_text() == "second"
    with replaced(folder) as new:
        assert list(new.iterdir()) == []
    assert list(folder.parent.iterdir()) == [folder]
