"""What is read of a language model's folder: its window and what ends its texts."""

import json
import sys

import pytest
from rollout_models import make_tokenizer
from transformers import Gemma3Config, GenerationConfig, MambaConfig, Mistral3Config, Qwen2Config

from stages.engines.description import describe_model
from stages.plumbing.errors import InputError

NESTED = {"text_config": {"max_position_embeddings": 77, "eos_token_id": 5}}


@pytest.mark.parametrize(
    ("config", "window"),
    [
        (Qwen2Config(max_position_embeddings=78), 78),
        (MambaConfig(), sys.maxsize),
        (Gemma3Config(**NESTED), 77),
        (Mistral3Config(text_config={"model_type": "mistral", **NESTED["text_config"]}), 77),
    ],
)
def test_the_window_is_that_of_the_text_part(tmp_path, config, window):
    make_tokenizer().save_pretrained(tmp_path)
    config.save_pretrained(tmp_path)
    assert describe_model(tmp_path).window == window


def test_a_text_ends_where_the_model_or_its_tokenizer_says(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    Gemma3Config(**NESTED).save_pretrained(tmp_path)
    assert describe_model(tmp_path).ends == {5, tokenizer.eos_token_id}
    GenerationConfig(eos_token_id=[3, 4]).save_pretrained(tmp_path)
    assert describe_model(tmp_path).ends == {3, 4, tokenizer.eos_token_id}


@pytest.mark.parametrize("said", ["</s>", ["</s>", 4], 4.5, True, {"a": 4}])
def test_an_end_that_is_no_token_id_is_one_line(tmp_path, said):
    make_tokenizer().save_pretrained(tmp_path)
    Qwen2Config().save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": said}))
    with pytest.raises(InputError, match=r"'eos_token_id'.*integers"):
        describe_model(tmp_path)


def test_a_folder_without_a_configuration_is_one_line(tmp_path):
    make_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(InputError, match="no model"):
        describe_model(tmp_path)
