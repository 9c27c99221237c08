"""How token vectors become one: every layout of a model's folder, against transformers' own."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import retrieval_world as world
import torch
from rollout_models import make_tokenizer
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer
from transformers import BertConfig, BertModel, Qwen3Config, Qwen3ForCausalLM

from stages.encoders.encoding import DenseRetriever, load_model
from stages.encoders.folder import read_format, save_retriever
from stages.encoders.pooling import written_pooling
from stages.encoders.query_format import QueryFormat
from stages.encoders.reference import refer_to_encoder
from stages.params import Baseline
from stages.plumbing.errors import InputError

TEXTS = ["film", "who directed film Alpha", "film Beta who directed film Alpha " * 2]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "intermediate_size": 16}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Bare folders, as transformers writes them: an encoder, and a decoder that pads on a side."""
    path, tokenizer = tmp_path_factory.mktemp("bare"), make_tokenizer()
    torch.manual_seed(0)
    kinds = {"vocab_size": len(tokenizer), "max_position_embeddings": 128, **SIZES}
    encoder = BertModel(BertConfig(num_attention_heads=2, **kinds))
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8}
    decoder = Qwen3ForCausalLM(Qwen3Config(**heads, tie_word_embeddings=True, **kinds))
    for name, model, side in (
        ("encoder", encoder, "right"),
        ("right", decoder, "right"),
        ("left", decoder, "left"),
    ):
        tokenizer.padding_side = side
        model.save_pretrained(path / name)
        tokenizer.save_pretrained(path / name)
    vectors = {}
    for name, model in (("encoder", encoder), ("right", decoder.model)):
        model.eval()
        with torch.inference_mode():  # one text at a time, so that nothing is padded
            vectors[name] = [
                model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].numpy()
                for text in TEXTS
            ]
    return path, vectors | {"left": vectors["right"]}


POOLED = {
    "mean": lambda tokens: tokens.sum(axis=0) / len(tokens),
    "cls": lambda tokens: tokens[0],
    "lasttoken": lambda tokens: tokens[len(tokens) - 1],
}


def written_out(vectors: list[np.ndarray], pooling: str) -> np.ndarray:
    rows = [POOLED[pooling](tokens) for tokens in vectors]
    return np.stack([row / np.sqrt((row * row).sum()) for row in rows])


def saved(bare: Path, folder: Path, pooling: str) -> Path:
    """The folder that sentence-transformers writes of a bare model with a pooling."""
    modules = [Transformer(str(bare)), Pooling(16, pooling)]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder))
    return folder


def made(model: Path, output: Path, **block) -> Path:
    refer_to_encoder(Baseline(model=str(model), **block), output)
    return output


@pytest.mark.parametrize("name", ["encoder", "right", "left"])
@pytest.mark.parametrize("pooling", list(POOLED))
def test_a_layout_of_each_kind_is_pooled_as_it_says(models, tmp_path, name, pooling):
    path, vectors = models
    want = written_out(vectors[name], pooling)
    others = [written_out(vectors[name], other) for other in POOLED if other != pooling]
    bare = made(path / name, tmp_path / "bare", pooling=pooling)
    whole = saved(path / name, tmp_path / "whole", pooling)
    assert written_pooling(whole) == pooling and written_pooling(path / name) is None
    silent = made(whole, tmp_path / "silent")
    agreed = made(whole, tmp_path / "agreed", pooling=pooling)
    for folder in (bare, silent, agreed):
        found = DenseRetriever.load(folder).encode_passages(TEXTS)
        assert np.allclose(found, want, atol=1e-5), folder.name
        assert all(np.abs(found - other).max() > 1e-2 for other in others)


@pytest.mark.parametrize("name", ["encoder", "left"])
def test_a_bare_model_needs_a_stated_pooling(models, tmp_path, name):
    where = re.escape(str(models[0] / name))
    message = (
        rf"^{where}: has no modules\.json[^\n]*'pooling'[^\n]* to mean, cls or lasttoken[^\n]*$"
    )
    with pytest.raises(InputError, match=message):
        made(models[0] / name, tmp_path / "made")


@pytest.mark.parametrize("written", list(POOLED))
def test_a_stated_pooling_that_contradicts_the_files_is_refused(models, tmp_path, written):
    whole = saved(models[0] / "encoder", tmp_path / "whole", written)
    for stated in POOLED.keys() - {written}:
        message = f"stated as {stated}, and its files say {written}"
        with pytest.raises(InputError, match=message):
            made(whole, tmp_path / "made", pooling=stated)


def test_files_of_earlier_versions_of_the_library_say_it_too(models, tmp_path):
    whole = saved(models[0] / "encoder", tmp_path / "whole", "mean")
    config = whole / "1_Pooling" / "config.json"
    flags = {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": False}
    config.write_text(json.dumps(flags | {"pooling_mode_cls_token": True}))
    assert written_pooling(whole) == "cls"
    assert load_model(made(whole, tmp_path / "made", pooling="cls"))[1].pooling_mode == "cls"
    for silent in ({}, flags):
        config.write_text(json.dumps({"word_embedding_dimension": 16} | silent))
        with pytest.raises(InputError, match=r"1_Pooling/config\.json: says no 'pooling_mode'"):
            made(whole, tmp_path / "again")
    config.write_text(json.dumps(flags | {"pooling_mode": "mean", "include_prompt": False}))
    with pytest.raises(InputError, match="leaves the prompt out of the pooling"):
        made(whole, tmp_path / "again")


POOLING = "sentence_transformers.models.Pooling"
NO_MODULES = {
    "null": "expected a list of objects",
    "{}": "expected a list of objects",
    "3": "expected a list of objects",
    '"text"': "expected a list of objects",
    "[1]": "expected a list of objects",
    '[{"path": "1_Pooling"}]': "'0.type' must be a text",
    f'[{{"type": "{POOLING}"}}]': "'0.path' must be a text",
    f'[{{"type": "{POOLING}", "path": ""}}, {{"type": "{POOLING}", "path": 3}}]': "'1.path' must",
    '[{"type": ': "not valid JSON",
}


@pytest.mark.parametrize("written", NO_MODULES)
def test_modules_of_another_form_are_named(models, tmp_path, written):
    whole = saved(models[0] / "encoder", tmp_path / "whole", "mean")
    (whole / "modules.json").write_text(written)
    message = (
        rf"^{re.escape(str(whole))}/modules\.json(:1)?: {re.escape(NO_MODULES[written])}[^\n]*$"
    )
    with pytest.raises(InputError, match=message):
        written_pooling(whole)
    with pytest.raises(InputError, match=r"^[^\n]*modules\.json[^\n]*$"):
        made(whole, tmp_path / "made")


@pytest.mark.parametrize("written", ["null", "[]", "3", '"mean"', '{"pooling_mode": '])
def test_a_pooling_of_another_form_is_named(models, tmp_path, written):
    whole = saved(models[0] / "encoder", tmp_path / "whole", "mean")
    config = whole / "1_Pooling" / "config.json"
    config.write_text(written)
    problem = r"(:1: not valid JSON[^\n]*|: expected an object)"
    with pytest.raises(InputError, match=rf"^{re.escape(str(config))}{problem}$"):
        written_pooling(whole)
    with pytest.raises(InputError, match=r"^[^\n]*config\.json[^\n]*$"):
        made(whole, tmp_path / "made")


def test_modes_may_be_joined(models, tmp_path):
    whole = saved(models[0] / "encoder", tmp_path / "whole", ("cls", "mean"))
    assert written_pooling(whole) == "cls+mean"
    assert DenseRetriever.load(made(whole, tmp_path / "made")).dimension == 32


def test_what_is_trained_from_a_bare_model_keeps_its_pooling(models, tmp_path):
    start = made(models[0] / "left", tmp_path / "start", pooling="lasttoken", query_prompt="q: ")
    assert read_format(start).pooling == "lasttoken"
    save_retriever(load_model(start), tmp_path / "learned", read_format(start))
    assert written_pooling(tmp_path / "learned") == "lasttoken"
    assert read_format(tmp_path / "learned") == QueryFormat(query_prompt="q: ")
    assert "of lasttoken-pooled vectors" in (tmp_path / "learned/README.md").read_text()
    before, after = (DenseRetriever.load(tmp_path / n) for n in ("start", "learned"))
    assert np.allclose(before.encode_queries(TEXTS), after.encode_queries(TEXTS), atol=1e-6)


def test_the_card_of_a_mean_pooled_retriever_says_so(tmp_path):
    folder = world.tiny_retriever(tmp_path / "R")
    assert "Cosine similarity of mean-pooled vectors. A" in (folder / "README.md").read_text()
    shutil.rmtree(folder / "1_Pooling")
    with pytest.raises(InputError, match="1_Pooling"):
        load_model(folder)
