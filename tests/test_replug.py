"""The stage replug on the kept base agent and a small world: its labels, training and bytes."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from checkout import ROOT, command, compose_in, copy_of_checkout
from test_retriever import hashes

from stages import corpus, encoder, index, questions, replug
from stages.common import records
from stages.common.records import read_json, read_questions
from stages.distillation.labels import Labeller, replug_metrics
from stages.distillation.likelihood import load_reader
from stages.distillation.loss import LikelihoodLoss, likelihood_columns
from stages.encoders.encoding import load_model
from stages.encoders.folder import read_format
from stages.encoders.query_format import QueryFormat
from stages.params import load_params
from stages.plumbing.errors import InputError
from stages.retrieval.searcher import load_searcher
from stages.rollout.protocol import load_protocol

AGENT = ROOT / "models/agent/0"
SMALL = {"layers": 1, "width": 32, "heads": 2, "steps": 150, "batch_size": 64}
TINY = {"questions": 40, "top_k": 8, "steps": 16, "batch_size": 8, "learning_rate": 1e-3}


def set_params(**replug_values) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["corpus"]["world"]["names"] = 20
    params["questions"] |= {"training": 60, "test": 4, "development": 0}
    params["trajectories"]["questions"] = 60
    params["encoder"] |= SMALL
    params["compute"] |= {"threads": 1}
    params["replug"] |= TINY | replug_values
    Path("params.yaml").write_text(yaml.safe_dump(params))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A small world, its questions, R_0 and R_0's index."""
    path = tmp_path_factory.mktemp("replug")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        patch.syspath_prepend(ROOT)
        Path("stages").symlink_to(ROOT / "stages")  # the world's code is the source of the corpus
        set_params()
        corpus.main(["--output", "corpus"])
        questions.main(["--corpus", "corpus", "--output", "questions"])
        passages = ["--passages", "corpus/passages.jsonl"]
        encoder.main([*passages, "--output", "R0", "--metrics", "R0.json"])
        index.main([*passages, "--retriever", "R0", "--output", "I0", "--metrics", "I0.json"])
    return path


@pytest.fixture
def place(built, monkeypatch):
    monkeypatch.chdir(built)
    set_params()
    return built


def make(name: str, **changes: str) -> Path:
    """Run the stage into the folder `name`; every name draws the same, being called replug."""
    arguments = {"name": "replug", "agent": AGENT, "retriever": "R0", "index": "I0"}
    arguments |= {"passages": "corpus/passages.jsonl", "questions": "questions/train.jsonl"}
    arguments |= {"output": name, "metrics": f"{name}.json", "curves": f"{name}.csv"} | changes
    replug.main([str(part) for key, value in arguments.items() for part in (f"--{key}", value)])
    return Path(name)


@pytest.fixture(scope="module")
def rows(built):
    """The labelled training questions, and the questions themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(built)
        set_params()
        params = load_params()
        reader = load_reader(AGENT, params.generation, params.compute)
        searcher = load_searcher("I0", "corpus/passages.jsonl", "R0", params.compute)
        asked = read_questions("questions/train.jsonl")
        labeller = Labeller(reader, searcher, load_protocol(AGENT, params.protocol), params)
        return asked, labeller.label(asked, lambda count: None)


def test_labels_favour_the_passage_that_holds_the_answer(rows):
    first = []
    for question, row in zip(*rows, strict=True):
        if row["dropped"] or question.metadata["hops"] > 1:
            continue
        holds = [question.golden_answers[0] in text for text in row["passages"]]
        if 0 < sum(holds) < len(holds):
            first.append(holds[int(np.argmax(row["likelihoods"]))])
    assert len(first) >= 5 and sum(first) > 0.8 * len(first)


def divergence(folder: str, labelled: list[dict], temperature: float, likelihood: float) -> float:
    """The mean KL, written out in numpy."""
    model, total = load_model(folder), 0.0
    for row in labelled:
        query = model.encode([row["question"]], normalize_embeddings=True)[0]
        scores = model.encode(row["passages"], normalize_embeddings=True) @ query
        logits, told = scores / temperature, np.array(row["likelihoods"]) / likelihood
        told = np.exp(told - told.max()) / np.exp(told - told.max()).sum()
        ours = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        total += (told * (np.log(told + 1e-30) - ours)).sum()
    return total / len(labelled)


def test_the_loss_is_the_divergence_as_written(place, rows):
    labelled = [row for row in rows[1] if row["dropped"] is None][:4]
    model = load_model("R0")
    table = likelihood_columns(labelled, QueryFormat())
    names = [name for name in table if name != "label"]
    vectors = [model.encode(table[name], convert_to_tensor=True) for name in names]
    labels = vectors[0].new_tensor(table["label"])
    loss = LikelihoodLoss(model, 0.2, 0.3).compute_loss_from_embeddings(vectors, labels)
    assert loss.item() == pytest.approx(divergence("R0", labelled, 0.2, 0.3), rel=1e-3)


def test_training_lowers_the_divergence(place, rows):
    made = make("learned")
    labelled = [row for row in rows[1] if row["dropped"] is None]
    block = load_params().replug
    temperatures = block.temperature, block.likelihood_temperature
    after, before = (divergence(f, labelled, *temperatures) for f in (made, "R0"))
    assert after < 0.8 * before
    counts = read_json("learned.json")
    assert counts["in"] == 40 == counts["out"] + sum(counts["dropped"].values())
    assert counts["read_tokens"] > 0 and Path("learned.csv").read_text().startswith("step,loss\n")
    assert read_format(made) == QueryFormat("query", "", "")


def test_the_agent_talks_as_its_folder_says(place, rows):
    """Its own protocol.yaml goes before the block, which reads no answer in what it writes."""
    set_params(questions=60, steps=2)
    shutil.copytree(AGENT, "own", dirs_exist_ok=True)
    params = yaml.safe_load(Path("params.yaml").read_text())
    Path("own/protocol.yaml").write_text(yaml.safe_dump(params["protocol"]))
    params["protocol"] |= {"name": "other", "answer_pattern": "<reply>(.*?)</reply>"}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    make("talks", agent="own")
    talks = read_json("talks.json")
    counts = replug_metrics(rows[1])
    dropped = counts["dropped"] | {"not_drawn": counts["out"] - 2 * load_params().replug.batch_size}
    assert talks == counts | {"out": talks["in"] - sum(dropped.values())} | {
        "dropped": dropped,
        "loss": talks["loss"],
    }


def test_a_killed_run_goes_on_to_the_same_bytes(place, monkeypatch):
    monkeypatch.setattr(replug, "SHARD", 16)
    whole = hashes(place / make("whole"))
    labels, steps, written = [], [], []
    label, loss = Labeller.label, LikelihoodLoss.compute_loss_from_embeddings
    write = records.write_json

    def dies_labelling(self, part, advance):
        labels.append(len(part))
        if len(labels) == 2:
            raise KeyboardInterrupt
        return label(self, part, advance)

    def dies_training(self, *rest):
        steps.append(1)
        if len(steps) == 12:
            raise KeyboardInterrupt
        return loss(self, *rest)

    def dies_writing(path, value):
        written.append(len(steps))
        if len(written) == 1:
            raise KeyboardInterrupt
        write(path, value)

    monkeypatch.setattr(records, "write_json", dies_writing)
    monkeypatch.setattr(Labeller, "label", dies_labelling)
    monkeypatch.setattr(LikelihoodLoss, "compute_loss_from_embeddings", dies_training)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            make("third")
        assert not Path("third").exists()
    with pytest.raises(KeyboardInterrupt):
        make("third")
    assert hashes(place / make("third")) == whole
    assert written == [len(steps)] * 2, "a finished training was done again"
    assert labels == [16, 16, 16, 8], "a finished shard was labelled again"
    assert len(steps) < 2 * 16, "training went on from a checkpoint"
    for ending in ("json", "csv"):
        assert Path(f"third.{ending}").read_text() == Path(f"whole.{ending}").read_text()
    assert not list(Path("tmp/scratch").glob("replug*"))


def test_questions_that_cannot_be_labelled_are_counted(place):
    set_params(top_k=10_000)
    with pytest.raises(InputError, match=r"replug@replug: no question is left.*few_candidates.*40"):
        make("none")
    set_params(questions=61)
    with pytest.raises(InputError, match=r"train\.jsonl: 'replug\.questions': 61 questions"):
        make("none")
    shutil.rmtree("tmp", ignore_errors=True)


def test_the_pipeline_has_the_baseline_where_it_is_named(tmp_path):
    clone = copy_of_checkout(tmp_path / "repo", "scale=smoke")
    without = command(clone, "dvc", "stage", "list", "--name-only").split()
    assert not [name for name in without if "replug" in name]
    pair = "+compare.replug={agent: '1', retriever: replug}"
    compose_in(clone, "scale=smoke", "+replug.retrievers.replug={}", pair)
    listed = command(clone, "dvc", "stage", "list", "--name-only").split()
    added = {"replug@replug", "index-replug@replug", "compare@replug"}
    assert set(listed) - set(without) == added
    graph = command(clone, "dvc", "dag", "compare@replug")
    assert "index-replug@replug" in graph and "replug@replug" in graph
    assert load_params(clone / "params.yaml").compare["replug"].retriever == "replug"
