"""The stages corpus, questions and base, from params.yaml to their files."""

import json
from pathlib import Path

import pytest
import yaml
from transformers import AutoTokenizer

from stages import base, corpus, questions
from stages.common.models import model_path
from stages.common.records import Passage, read_passages, read_questions, write_passages
from stages.composing.compose import compose
from stages.engines.generator import TransformersGenerator
from stages.params import load_params
from stages.plumbing.errors import InputError

REPO = Path(__file__).parents[1]
TINY = ["layers=2", "width=32", "steps=2", "easy_steps=1", "batch_size=2"]


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """An empty folder with a params.yaml of the smallest scale; returns how to change it."""

    def write(*overrides: str) -> None:
        monkeypatch.chdir(REPO)
        sizes = [f"base.{role}.{size}" for role in ("agent", "judge") for size in TINY]
        compose(tmp_path / "params.yaml", ["scale=smoke", *sizes, *overrides])
        monkeypatch.chdir(tmp_path)

    monkeypatch.setattr(base, "HELD_OUT", 3)
    write("relevance.max_reply_tokens=8")
    return write


def make_base() -> dict:
    base.main(["--agent", "agent", "--judge", "judge", "--metrics", "base.json"])
    return json.loads(Path("base.json").read_text())


def test_corpus_and_questions_are_those_of_the_world(experiment):
    corpus.main(["--output", "corpus"])
    questions.main(["--corpus", "corpus", "--output", "questions"])
    passages = {passage.id: passage for passage in read_passages("corpus/passages.jsonl")}
    block = load_params().questions
    train = read_questions("questions/train.jsonl")
    assert len(train) == block.training
    names = {path.stem for path in Path("questions/test").iterdir()}
    assert names == {"indomain", "relations", "singlehop"}
    for name in names:
        asked = read_questions(f"questions/test/{name}.jsonl")
        assert len(asked) == block.test
        for question in asked:
            last = passages[question.metadata["supporting_ids"][-1][0]]
            assert f"{question.golden_answers[0]}." in last.text


def test_files_of_the_same_form_are_checked_and_copied(experiment):
    corpus.main(["--output", "corpus"])
    questions.main(["--corpus", "corpus", "--output", "questions"])
    made = Path("corpus/passages.jsonl").read_bytes()
    here = Path.cwd()
    experiment(f"corpus.source={here}/corpus/passages.jsonl", f"questions.source={here}/questions")
    corpus.main(["--output", "copied"])
    questions.main(["--corpus", "copied", "--output", "asked"])
    assert Path("copied/passages.jsonl").read_bytes() == made
    assert not Path("copied/world.json").exists()
    for path in (Path("questions/train.jsonl"), *Path("questions/test").glob("*.jsonl")):
        assert Path("asked", path.relative_to("questions")).read_bytes() == path.read_bytes()


def test_a_source_that_is_wrong_is_named(experiment):
    """By the stages too: compose looks at what is there when it composes."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["corpus"]["source"], params["questions"]["source"] = "bad.jsonl", "nowhere"
    Path("params.yaml").write_text(yaml.safe_dump(params))
    Path("bad.jsonl").write_text('{"id": "1"}\n')
    with pytest.raises(InputError, match=r"bad\.jsonl:1"):
        corpus.main(["--output", "corpus"])
    of_enough_passages("made")
    with pytest.raises(InputError, match="nowhere"):
        questions.main(["--corpus", "made", "--output", "questions"])


def test_questions_of_a_world_need_its_facts(experiment):
    of_enough_passages("plain")
    with pytest.raises(InputError, match=r"world\.json"):
        questions.main(["--corpus", "plain", "--output", "questions"])


def of_enough_passages(folder: str) -> None:
    """A corpus that no world was made for."""
    passages = (Passage(str(n), "Title", f"text {n}") for n in range(30))
    write_passages(f"{folder}/passages.jsonl", passages)


def test_the_stages_ask_and_teach_six_hops(experiment):
    experiment("+questions=six_hops", "corpus.world.names=110")
    corpus.main(["--output", "corpus"])
    questions.main(["--corpus", "corpus", "--output", "questions"])
    asked = read_questions("questions/train.jsonl")
    assert {question.metadata["hops"] for question in asked} == set(range(1, 7))
    for place, count in (("test", load_params().questions.test), ("development", 4)):
        asked = read_questions(f"questions/{place}/sixhop.jsonl")
        assert [question.metadata["hops"] for question in asked] == [6] * count
    metrics = make_base()
    assert metrics["agent"]["actions"] > 6
    for role in ("agent", "judge"):
        assert len(AutoTokenizer.from_pretrained(role).encode(" taught teacher")) == 2


def test_base_makes_two_models_that_load_and_write(experiment):
    metrics = make_base()
    assert metrics["agent"]["actions"] > 3 and 0 <= metrics["agent"]["invalid"] <= 1
    assert metrics["judge"]["relevance"]["replies"] == 3
    assert metrics["judge"]["sub_answers"]["replies"] == 3
    for folder in ("agent", "judge"):
        assert (Path(folder) / "model.safetensors").exists()
        tokenizer = AutoTokenizer.from_pretrained(folder)
        generator = TransformersGenerator(folder)
        prompt = tokenizer.encode("Question: who?\n")
        assert generator.tokenizer.encode("Question: who?\n") == prompt
        assert len(generator.generate([prompt], stop=[], max_new_tokens=3)[0]) <= 3
    assert not list(Path("tmp/scratch").iterdir())


def test_base_gives_the_same_models_again(experiment):
    make_base()
    first = {
        folder: Path(folder, "model.safetensors").read_bytes() for folder in ("agent", "judge")
    }
    make_base()
    for folder, weights in first.items():
        assert Path(folder, "model.safetensors").read_bytes() == weights


def test_both_trainings_are_kept_until_the_figures_are_written(experiment, monkeypatch):
    def killed(role: str, params, folder: Path) -> dict:
        if role == "judge":
            raise KeyboardInterrupt
        return {}

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(base, "examine_model", killed)
        make_base()
    left = sorted(path.name for path in Path("tmp/scratch").iterdir())
    assert [name.rpartition("-")[0] for name in left] == ["base-agent", "base-judge"]


def test_a_ready_made_model_is_a_reference(experiment):
    make_base()
    Path("agent").rename("mine")
    experiment("base.agent.model=mine", "relevance.max_reply_tokens=8")
    metrics = make_base()
    assert metrics["agent"] == {"model": "mine"}
    assert [path.name for path in Path("agent").iterdir()] == ["reference.json"]
    assert model_path("agent") == "mine"


def test_a_model_that_is_not_there_is_named(experiment):
    experiment("base.judge.model=no/such model")
    with pytest.raises(InputError, match="no/such model"):
        make_base()
