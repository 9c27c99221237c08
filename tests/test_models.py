"""Model folders and references to models elsewhere."""

import pytest
from safetensors.numpy import save_file

from stages.errors import InputError
from stages.models import model_path, write_reference


def test_a_folder_stands_for_itself(tmp_path):
    (tmp_path / "m").mkdir()
    assert model_path(tmp_path / "m") == str(tmp_path / "m")


def test_a_reference_leads_to_a_local_folder(tmp_path):
    (tmp_path / "real").mkdir()
    save_file({}, tmp_path / "real" / "model.safetensors")
    write_reference(tmp_path / "m", str(tmp_path / "real"), None)
    assert model_path(tmp_path / "m") == str(tmp_path / "real")


def test_weights_must_be_safetensors(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "pytorch_model.bin").touch()
    with pytest.raises(InputError, match=r"no \.safetensors"):
        write_reference(tmp_path / "m", str(tmp_path / "real"), None)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="no such model folder"):
        model_path(tmp_path / "m")
    with pytest.raises(InputError, match=r"some/model: not on this machine"):
        write_reference(tmp_path / "m", "some/model", None)
    with pytest.raises(InputError, match="neither a local folder nor a hub id"):
        write_reference(tmp_path / "m", "/no/such/folder", None)
