"""Encoders whose configuration or tokenizer says less, or more, than others' do."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import retrieval_world as world
from kept_bytes import kept_here
from rollout_models import make_tokenizer
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer
from transformers import Qwen2Config, Qwen2Model, RobertaConfig, RobertaModel

from stages.common import portable
from stages.encoders.encoding import DenseRetriever, load_model, positions
from stages.encoders.folder import write_format
from stages.encoders.query_format import QueryFormat
from stages.plumbing.errors import InputError

SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
SIZES |= {"intermediate_size": 16, "num_key_value_heads": 2}
LONG = "who directed film Alpha " * 40


def saved(model, tokenizer, folder: Path, limit: int | None) -> Path:
    model.save_pretrained(folder / "bare")
    tokenizer.save_pretrained(folder / "bare")
    transformer = Transformer(str(folder / "bare"), max_seq_length=limit)
    made = SentenceTransformer(modules=[transformer, Pooling(16)], device="cpu")
    made.save(str(folder / "made"), safe_serialization=True)
    write_format(folder / "made", QueryFormat())
    return folder / "made"


@pytest.mark.parametrize("limit", [None, 30, 34, 512])
def test_positions_that_begin_behind_padding_are_not_overrun(tmp_path, limit):
    tokenizer = make_tokenizer()
    config = RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=34, **SIZES)
    folder = saved(RobertaModel(config), tokenizer, tmp_path, limit)
    model = load_model(folder)
    assert positions(model) == 32 and model.max_seq_length == (30 if limit == 30 else 32)
    assert np.isfinite(DenseRetriever.load(folder).encode_passages([LONG, "film"])).all()


def test_a_text_is_cut_to_the_positions_where_no_limit_is_said(tmp_path):
    folder = world.tiny_retriever(tmp_path / "R")
    for file in folder.rglob("*.json"):
        about = json.loads(file.read_text())
        if isinstance(about, dict):
            kept = {
                k: v for k, v in about.items() if k not in ("max_seq_length", "model_max_length")
            }
            file.write_text(json.dumps(kept))
    assert load_model(folder).max_seq_length == 48
    assert DenseRetriever.load(folder).encode_passages([LONG]).shape == (1, 32)


def test_a_tokenizer_without_pad_or_bos_token_pads_with_its_end(tmp_path):
    tokenizer = make_tokenizer()
    config = Qwen2Config(vocab_size=len(tokenizer), max_position_embeddings=64, **SIZES)
    padded = DenseRetriever.load(saved(Qwen2Model(config), tokenizer, tmp_path / "a", 64))
    want = padded.encode_queries(["film Alpha", LONG])
    tokenizer.pad_token = None
    folder = saved(padded.model[0].auto_model, tokenizer, tmp_path / "b", 64)
    bare = DenseRetriever.load(folder)
    assert bare.model.tokenizer.bos_token is None and bare.model.tokenizer.pad_token == "<eos>"
    assert np.allclose(bare.encode_queries(["film Alpha", LONG]), want, atol=1e-6)
    tokenizer.eos_token = None
    with pytest.raises(InputError, match="made: the tokenizer has no pad token of the model's"):
        load_model(saved(padded.model[0].auto_model, tokenizer, tmp_path / "c", 64))


@kept_here
@pytest.mark.parametrize(
    "sizes",
    [{}, {"layers": 2, "width": 96, "heads": 4}, {"layers": 3, "width": 384, "heads": 12}],
)
def test_a_text_has_the_same_bytes_alone_and_in_company(tmp_path, sizes):
    """Texts of every length of the grid, alone, in small groups, and all together."""
    retriever = DenseRetriever.load(world.tiny_retriever(tmp_path / "R", **sizes))
    draw = random.Random(0)
    words = " ".join(passage.contents for passage in world.corpus()).split()
    texts = [" ".join(draw.choices(words, k=draw.randint(1, 60))) for _ in range(60)]
    shapes = []
    forward = retriever.model.forward
    retriever.model.forward = lambda features, **given: (
        shapes.append(features["input_ids"].shape),
        forward(features, **given),
    )[1]
    together = retriever.encode_queries(texts)
    for size in (1, 2, 3, 7):
        shapes.clear()
        parts = [retriever.encode_queries(texts[n : n + size]) for n in range(0, len(texts), size)]
        assert np.concatenate(parts).tobytes() == together.tobytes(), size
        if size == 1 and portable.is_on():
            assert {rows for rows, _ in shapes} == {1}
    assert all(length % 8 == 0 for _, length in shapes)
