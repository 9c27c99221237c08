"""Model folders and references to models elsewhere."""

import ast
import json
import shutil
from pathlib import Path

import numpy
import pytest
import retrieval_world as world
import torch
from rollout_models import make_model, make_tokenizer, save
from safetensors.numpy import save_file
from safetensors.torch import load_file

from stages.common.models import model_path, write_reference
from stages.encoders.encoding import load_model
from stages.engines.loading import load_agent, load_judge
from stages.params import Compute, Generation
from stages.plumbing.errors import InputError


def test_a_folder_stands_for_itself(tmp_path):
    (tmp_path / "m").mkdir()
    assert model_path(tmp_path / "m") == str(tmp_path / "m")


def test_a_reference_leads_to_a_local_folder(tmp_path):
    (tmp_path / "real").mkdir()
    save_file({}, tmp_path / "real" / "model.safetensors")
    write_reference(tmp_path / "m", str(tmp_path / "real"), None)
    assert model_path(tmp_path / "m") == str(tmp_path / "real")


def test_a_reference_is_to_the_weights_that_were_there(tmp_path):
    """DVC hashes the reference, which must change with the files of a local folder."""
    (tmp_path / "real").mkdir()
    save_file({"w": numpy.zeros(2)}, tmp_path / "real" / "model.safetensors")
    write_reference(tmp_path / "m", str(tmp_path / "real"), None)
    before = (tmp_path / "m" / "reference.json").read_bytes()
    save_file({"w": numpy.ones(2)}, tmp_path / "real" / "model.safetensors")
    with pytest.raises(InputError, match=r"real: its files have changed since .*/m was made"):
        model_path(tmp_path / "m")
    write_reference(tmp_path / "m", str(tmp_path / "real"), None)
    assert (tmp_path / "m" / "reference.json").read_bytes() != before
    assert model_path(tmp_path / "m") == str(tmp_path / "real")


def test_weights_must_be_safetensors(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "pytorch_model.bin").touch()
    with pytest.raises(InputError, match=r"pytorch_model\.bin is a pickle"):
        write_reference(tmp_path / "m", str(tmp_path / "real"), None)
    (tmp_path / "real" / "pytorch_model.bin").unlink()
    with pytest.raises(InputError, match=r"no \.safetensors"):
        write_reference(tmp_path / "m", str(tmp_path / "real"), None)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(InputError, match="no such model folder"):
        model_path(tmp_path / "m")
    with pytest.raises(InputError, match=r"some/model: not on this machine"):
        write_reference(tmp_path / "m", "some/model", None)
    with pytest.raises(InputError, match="neither a local folder nor a hub id"):
        write_reference(tmp_path / "m", "/no/such/folder", None)


EVIL = """
from pathlib import Path
Path({marker!r}).touch()
class Model: pass
"""


@pytest.fixture(scope="module")
def language_model(tmp_path_factory):
    tokenizer = make_tokenizer()
    return save(make_model("qwen2", tokenizer), tokenizer, tmp_path_factory.mktemp("m") / "lm")


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return world.tiny_retriever(tmp_path_factory.mktemp("m") / "encoder")


def load_agent_of(folder):
    load_agent(folder, Generation(), Compute(threads=1))


def load_judge_of(folder):
    load_judge(folder, Generation(), Compute(threads=1, judge_url="http://127.0.0.1:9"))


LOADERS = {"agent": load_agent_of, "judge": load_judge_of, "encoder": load_model}


def copy_of(role, request, tmp_path):
    name = "encoder" if role == "encoder" else "language_model"
    return Path(shutil.copytree(request.getfixturevalue(name), tmp_path / "copy"))


def refused(role, folder, tmp_path, message):
    """Loading `folder` is one clear line, and so is referring to it."""
    with pytest.raises(InputError, match=rf"^{folder}: [^\n]*{message}[^\n]*$"):
        LOADERS[role](folder)
    with pytest.raises(InputError, match=rf"^{folder}: [^\n]*{message}[^\n]*$"):
        write_reference(tmp_path / "reference", str(folder), None)
    assert not (tmp_path / "reference").exists()


@pytest.mark.parametrize("role", LOADERS)
def test_a_model_that_would_be_unpickled_is_refused(role, request, tmp_path):
    folder = copy_of(role, request, tmp_path)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    model_path(folder)  # safetensors beside it: the pickle is never read
    (folder / "model.safetensors").unlink()
    refused(role, folder, tmp_path, "pytorch_model.bin is a pickle")


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("role", LOADERS)
def test_a_model_with_code_of_its_own_is_refused(role, file, request, tmp_path):
    folder = copy_of(role, request, tmp_path)
    marker = tmp_path / "ran"
    (folder / "modeling_evil.py").write_text(EVIL.format(marker=str(marker)))
    about = json.loads((folder / file).read_text())
    about["auto_map"] = {"AutoModelForCausalLM": "modeling_evil.Model"}
    (folder / file).write_text(json.dumps(about))
    refused(role, folder, tmp_path, rf"{file} names code of the model's own")
    assert not marker.exists()


def test_a_retriever_with_a_module_of_its_own_is_refused(request, tmp_path):
    folder = copy_of("encoder", request, tmp_path)
    marker = tmp_path / "ran"
    (folder / "modeling_evil.py").write_text(EVIL.format(marker=str(marker)))
    modules = json.loads((folder / "modules.json").read_text())
    modules[-1]["type"] = "modeling_evil.Model"
    (folder / "modules.json").write_text(json.dumps(modules))
    refused("encoder", folder, tmp_path, r"modules\.json names code .*'modeling_evil\.Model'")
    assert not marker.exists()


def calls():
    """(where, name, keywords) of every call in stages/."""
    for path in sorted((Path(__file__).parents[1] / "stages").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                keywords = {k.arg: getattr(k.value, "value", None) for k in node.keywords}
                yield f"{path}:{node.lineno}", ast.unparse(node.func), keywords


def test_no_code_of_the_repo_trusts_what_it_loads():
    found = list(calls())
    assert len(found) > 1000
    for where, name, keywords in found:
        assert keywords.get("trust_remote_code") is not True, where
        assert keywords.get("allow_pickle") is not True, where
        assert not name.startswith(("pickle.", "joblib.", "cloudpickle.")), where
        if name == "torch.load":
            assert keywords.get("weights_only") is True, where
        weights = name.startswith("AutoModel") and name.endswith(".from_pretrained")
        if weights and "gguf_file" not in keywords:  # a file of numbers, as safetensors is
            assert keywords.get("use_safetensors") is True, where
