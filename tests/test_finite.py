"""Files hold finite numbers alone, whoever writes or reads them, and say which one is not."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from stages.common.models import check_safe
from stages.common.records import (
    parse_json,
    read_json,
    read_jsonl,
    read_questions,
    write_json,
    write_jsonl,
)
from stages.params import load_params
from stages.plumbing.errors import InputError
from stages.plumbing.finite import NotFinite, Watch, broken_weights, saved_weights
from stages.retrieval.corpus import PassageFile, line_starts
from stages.verl_ppo.counts import counted

WRITTEN = ["NaN", "Infinity", "-Infinity", "1e999", "-1E+400", "123456789e400"]
PLACES = [
    ("[{}]", "0"),
    ('{{"a": {{"b": [1, {{"c": {}}}]}}}}', "a.b.1.c"),
    ('{{"em": {}, "f1": 0.5}}', "em"),
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
    max_leaves=12,
)


def all_finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    inside = value.values() if isinstance(value, dict) else value
    return all(map(all_finite, inside)) if isinstance(value, dict | list) else True


@given(value=VALUES)
def test_what_is_finite_comes_back_and_nothing_else_is_written(tmp_path_factory, value):
    file = tmp_path_factory.mktemp("any") / "value.json"
    if all_finite(value):
        write_json(file, value)
        assert read_json(file) == value
        assert file.read_text() == json.dumps(value, ensure_ascii=False, indent=2) + "\n"
        return
    with pytest.raises(NotFinite, match=r"value\.json: .*not finite|no finite number"):
        write_json(file, value)
    assert list(file.parent.iterdir()) == []
    file.write_text(json.dumps(value))
    with pytest.raises(NotFinite):
        read_json(file)


@pytest.mark.parametrize("number", WRITTEN)
@pytest.mark.parametrize(("frame", "key"), PLACES)
def test_the_key_of_a_number_that_is_not_finite_is_named(tmp_path, number, frame, key):
    file = tmp_path / "figures.json"
    file.write_text(frame.format(number))
    with pytest.raises(InputError, match=rf"figures\.json: '{key}' is -?(nan|inf), which is no"):
        read_json(file)
    lines = tmp_path / "rows.jsonl"
    lines.write_text('{"id": "1"}\n{"id": "2", "x": ' + frame.format(number) + "}\n")
    with pytest.raises(InputError, match=rf"rows\.jsonl:2: 'x\.{key}' is -?(nan|inf)"):
        read_jsonl(lines)


@pytest.mark.parametrize("text", ["NaN", '{"a": NaN, "a": 1}', '{"a": [1e999], "a": 2}'])
def test_a_number_that_no_key_leads_to_is_refused_too(text):
    with pytest.raises(InputError, match="not finite"):
        parse_json(text, "here")


@pytest.mark.parametrize("text", ["1e308", "-1e-999", "0.1", "[1, 2.5e3]", '"NaN"', "1e5"])
def test_other_numbers_are_read_as_json_reads_them(text):
    assert parse_json(text, "here") == parse_json(text.encode(), "here") == json.loads(text)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_a_row_that_is_not_finite_leaves_the_file_as_it_was(tmp_path, value):
    file = tmp_path / "rows.jsonl"
    write_jsonl(file, [{"id": "old"}])
    rows = [{"id": "1", "score": 0.5}, {"id": "2", "turns": [{"score": value}]}]
    with pytest.raises(InputError, match=r"rows\.jsonl:2: 'turns\.0\.score' is .*nothing is writ"):
        write_jsonl(file, iter(rows))
    assert read_jsonl(file) == [{"id": "old"}] and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("number", WRITTEN)
def test_every_reader_of_rows_refuses_it(tmp_path, number):
    question = '{"id": "1", "question": "Who?", "golden_answers": ["x"], "metadata": {"a": %s}}\n'
    (tmp_path / "q.jsonl").write_text(question.replace("%s", number))
    with pytest.raises(InputError, match=r"q\.jsonl:1: 'metadata\.a' is"):
        read_questions(tmp_path / "q.jsonl")
    (tmp_path / "p.jsonl").write_text(f'{{"id": "1", "contents": "T\\nx", "weight": {number}}}\n')
    passages = PassageFile(tmp_path / "p.jsonl", line_starts(tmp_path / "p.jsonl"))
    with pytest.raises(InputError, match=r"p\.jsonl:1: 'weight' is"):
        list(passages)
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "host-1.jsonl").write_text(f'{{"id": "1", "em": {number}}}\n')
    with pytest.raises(InputError, match=r"host-1\.jsonl:1: 'em' is"):
        counted(tmp_path, 7)


def test_a_model_s_configuration_may_hold_infinity(tmp_path):
    """transformers writes it for models with a limit of time steps."""
    (tmp_path / "config.json").write_text('{"time_step_limit": [0.0, Infinity]}')
    check_safe(tmp_path, "model")


@pytest.mark.parametrize("key", ["health.entropy", "retriever.learning_rate", "compute.gpu_memory"])
@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
def test_a_parameter_is_finite(tmp_path, key, value):
    block, name = key.split(".")
    (tmp_path / "params.yaml").write_text(f"{block}: {{{name}: {value}}}\n")
    with pytest.raises(InputError, match=rf"'{key}' must be a finite number, found -?(nan|inf)"):
        load_params(tmp_path / "params.yaml")


@pytest.mark.parametrize("value", ["-1e-3", "1e31"])
def test_a_learning_rate_is_one_that_an_optimiser_takes(tmp_path, value):
    (tmp_path / "params.yaml").write_text(f"agent: {{policy_learning_rate: {value}}}\n")
    with pytest.raises(InputError, match="policy_learning_rate' must be from 0 to 1e"):
        load_params(tmp_path / "params.yaml")


def test_a_watch_tells_the_last_finite_figures_of_what_diverged():
    watch = Watch("agent")
    watch.see(1, "policy", {"loss": 2.0, "norm": 1.5})
    watch.see(2, "value", {"loss": 7.0})
    with pytest.raises(NotFinite) as error:
        watch.see(2, "policy", {"norm": 3.0, "loss": math.nan})
    told = "agent, step 2: loss is nan (last finite: loss 2 in step 1, norm 3 in step 2)"
    assert str(error.value) == f"{told}; lower 'policy'"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_of_a_folder_are_looked_at(tmp_path, dtype, value):
    weights = {"a": torch.ones(3, dtype=dtype), "b": torch.ones(2, 2, dtype=dtype)}
    save_file(weights | {"c": torch.ones(3, dtype=torch.int64)}, tmp_path / "model.safetensors")
    assert broken_weights(saved_weights(tmp_path)) is None
    weights["b"][1, 0] = value
    (tmp_path / "part").mkdir()
    save_file(weights, tmp_path / "part" / "model.safetensors")
    problem = broken_weights(saved_weights(tmp_path))
    assert problem == "1 of 5 weight tensors are not finite, as 'b'"
