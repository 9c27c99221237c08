"""The stages encoder and retriever: what they learn, and that their bytes can be made again."""

import hashlib
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import retrieval_world as world
import yaml
from safetensors.numpy import load_file, save_file
from sentence_transformers import SentenceTransformerTrainer

from stages import encoder, retriever
from stages.common.instances import Instance, iter_instances
from stages.common.records import read_json, write_jsonl
from stages.contrastive import training
from stages.contrastive.cloze import Noise, cloze_pairs
from stages.contrastive.fresh import vocabulary
from stages.contrastive.loss import InstanceLoss
from stages.encoders.encoding import DenseRetriever
from stages.encoders.folder import read_format
from stages.encoders.query_format import QueryFormat
from stages.plumbing.errors import InputError

REPO = Path(__file__).parents[1]
SMALL = {"layers": 1, "width": 32, "heads": 2, "max_length": 48}


def set_params(path: Path, **blocks) -> None:
    params = yaml.safe_load((REPO / "params.yaml").read_text())
    params["encoder"] |= SMALL
    params["compute"] |= {"threads": 1, "device": "cpu"}
    for name, values in blocks.items():
        params[name] |= values
    (path / "params.yaml").write_text(yaml.safe_dump(params))


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def make_encoder(path: Path, name: str = "R0") -> Path:
    encoder.main(["--passages", "passages.jsonl", "--output", name, "--metrics", f"{name}.json"])
    return path / name


def make_retriever(path: Path, name: str) -> Path:
    arguments = {"iteration": "1", "pairs": "pairs.jsonl", "encoder": "R0", "output": name}
    arguments |= {"metrics": f"{name}.json", "curves": f"{name}.csv"}
    retriever.main([part for key, value in arguments.items() for part in (f"--{key}", value)])
    return path / name


def write_pairs(path: Path, passages) -> list[dict]:
    """Queries by name alone, whose question says which namesake is meant."""
    draw, rows = random.Random(0), []
    for place, passage in enumerate(passages):
        if "was born" not in passage.text:
            continue
        profession = passage.text.split()[1]
        others = [p for p in passages if p.id != passage.id]
        namesakes = [p for p in others if p.title == passage.title]
        negatives = [*namesakes, *draw.sample([p for p in others if p not in namesakes], 3)]
        rows.append(
            {
                "id": f"q{place}#1/0",
                "question": f"Where was the {profession} born?",
                "query": f"where was {passage.title} born",
                "history": ["unread"],
                "positive": {"id": passage.id, "text": passage.contents, "lr": 100, "gac": 1},
                "negatives": [{"id": p.id, "text": p.contents} for p in negatives],
                "siblings": [],
            }
        )
    write_jsonl(path / "pairs.jsonl", rows)
    return rows


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A corpus, R_0 made from it, and training pairs."""
    path = tmp_path_factory.mktemp("retriever")
    world.write_corpus(path / "passages.jsonl", world.corpus())
    write_pairs(path, world.corpus())
    set_params(path, encoder={"steps": 150, "batch_size": 48, "learning_rate": 3e-3})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        make_encoder(path)
    return path


@pytest.fixture
def inside(place, monkeypatch):
    monkeypatch.chdir(place)
    return place


def ranks(folder: Path, instances: list[Instance]) -> np.ndarray:
    """The rank of each instance's positive in the whole corpus, 0 = first."""
    model = DenseRetriever.load(folder)
    passages = world.corpus()
    vectors = model.encode_passages([p.contents for p in passages])
    texts = [model.query_format.text(instance.request) for instance in instances]
    scores = model.encode_queries(texts) @ vectors.T
    positions = [[p.id for p in passages].index(instance.positive.id) for instance in instances]
    return (scores > scores[np.arange(len(instances)), positions][:, None]).sum(axis=1)


def test_the_encoder_finds_names_and_relations_but_not_who_is_meant(place):
    found = ranks(place / "R0", [each for _, each in iter_instances(place / "pairs.jsonl")])
    assert (found < 8).mean() > 0.95  # all eight passages of the name come first
    assert (found == 0).mean() < 0.6  # which of the four namesakes: it cannot know


def test_the_retriever_learns_what_the_question_says(inside):
    set_params(inside, retriever={"steps": 60, "batch_size": 12, "learning_rate": 3e-3})
    instances = [each for _, each in iter_instances(inside / "pairs.jsonl")]
    assert (ranks(make_retriever(inside, "learned"), instances) == 0).mean() > 0.9
    curve = (inside / "learned.csv").read_text().splitlines()
    assert curve[0] == "step,loss" and curve[-1].startswith("60,")
    metrics = read_json(inside / "learned.json")
    assert (metrics["in"], metrics["queries"], metrics["dropped"]) == (48, 48, {})
    assert read_format("learned").input == "question_query"


def test_a_killed_run_goes_on_to_the_same_bytes(inside, monkeypatch):
    config = read_json("R0/config.json")
    shutil.copytree("R0", "kept", dirs_exist_ok=True)
    # dropout makes the result depend on the state of the random numbers
    Path("R0/config.json").write_text(json.dumps(config | {"hidden_dropout_prob": 0.2}))
    set_params(inside, retriever={"steps": 16, "batch_size": 8})
    first, second = make_retriever(inside, "first"), make_retriever(inside, "second")
    assert hashes(first) == hashes(second)

    steps = []
    compute = InstanceLoss.compute_loss_from_embeddings

    def dies(self, embeddings, labels):
        steps.append(1)
        if len(steps) == 12:
            raise KeyboardInterrupt
        return compute(self, embeddings, labels)

    monkeypatch.setattr(InstanceLoss, "compute_loss_from_embeddings", dies)
    with pytest.raises(KeyboardInterrupt):
        make_retriever(inside, "third")
    assert not Path("third").exists()
    scratch = next(Path("tmp/scratch").glob("retriever@1-*"))
    (scratch / "checkpoint-12").mkdir()  # one that was being written
    assert hashes(make_retriever(inside, "third")) == hashes(first)
    assert len(steps) == 12 + 6  # steps 11 to 16: the newest whole checkpoint was that of step 10
    assert Path("third.csv").read_text() == Path("first.csv").read_text()
    assert not scratch.exists()
    shutil.rmtree("R0")
    Path("kept").rename("R0")


@pytest.mark.parametrize(
    ("settings", "dropped"),
    [
        ({"epochs": 1, "batch_size": 20}, {"incomplete_batch": 8}),  # 48 rows
        ({"epochs": 3, "batch_size": 12}, {}),
        ({"steps": 3, "batch_size": 20}, {}),
        ({"steps": 2, "batch_size": 10}, {"not_drawn": 28}),
    ],
)
def test_instances_that_training_does_not_use_are_counted(inside, settings, dropped):
    set_params(inside, retriever={"steps": None} | settings)
    make_retriever(inside, "counted")
    metrics = read_json("counted.json")
    assert (metrics["in"], metrics["out"]) == (48, 48 - sum(dropped.values()))
    assert metrics["dropped"] == dropped


def curve(folder: Path) -> np.ndarray:
    return np.loadtxt(folder.with_suffix(".csv"), delimiter=",", skiprows=1)


def test_activations_that_are_computed_twice_change_nothing(inside, monkeypatch):
    set_params(inside, retriever={"steps": 4, "batch_size": 8})
    kept = hashes(make_retriever(inside, "kept_activations"))
    monkeypatch.setattr(training, "LARGE", 0)
    assert hashes(make_retriever(inside, "again")) == kept


def test_training_in_half_precision(inside):
    set_params(inside, retriever={"steps": 4, "batch_size": 8})
    whole = make_retriever(inside, "whole")
    set_params(inside, retriever={"steps": 4, "batch_size": 8, "dtype": "bfloat16"})
    half = make_retriever(inside, "half")
    one, other = (load_file(folder / "model.safetensors") for folder in (whole, half))
    assert all(weight.dtype == np.float32 for weight in other.values())
    assert any((one[name] != other[name]).any() for name in one)
    assert np.allclose(curve(whole), curve(half), rtol=0.05)
    set_params(inside, retriever={"steps": 4, "dtype": "float16"})
    with pytest.raises(InputError, match="float16 needs a GPU"):
        make_retriever(inside, "none")


@pytest.mark.parametrize(("decay", "warmup"), [(0.0, 0.1), (0.02, 0.5)])
def test_weight_decay_and_warm_up_reach_the_optimizer(inside, monkeypatch, decay, warmup):
    """The first are those of the scale `paper` (test_published)."""
    seen = []
    create = SentenceTransformerTrainer.create_optimizer

    def created(trainer, *args, **kwargs):
        optimizer = create(trainer, *args, **kwargs)
        decays = {group["weight_decay"] for group in optimizer.param_groups}
        seen.append((decays, trainer.args.warmup_steps))
        return optimizer

    monkeypatch.setattr(SentenceTransformerTrainer, "create_optimizer", created)
    changes = {"steps": 20, "batch_size": 2, "weight_decay": decay, "warmup": warmup}
    set_params(inside, retriever=changes)
    make_retriever(inside, "decayed")
    assert seen == [({0.0, decay}, 20 * warmup)], "biases and norms never decay"


def test_an_encoder_saved_in_16_bits_is_trained_in_float32(inside):
    """Held to the same weights saved in float32. Steps of so small a rate are lost in 16 bits."""
    settings = {"steps": 4, "batch_size": 8, "learning_rate": 1e-5}
    set_params(inside, retriever=settings)
    shutil.copytree("R0", "kept")
    weights = {name: w.astype(np.float16) for name, w in load_file("R0/model.safetensors").items()}
    try:
        made = {}
        for dtype in (np.float16, np.float32):
            saved = {name: weight.astype(dtype) for name, weight in weights.items()}
            save_file(saved, "R0/model.safetensors", metadata={"format": "pt"})
            config = json.loads(Path("R0/config.json").read_text())
            Path("R0/config.json").write_text(json.dumps(config | {"dtype": dtype.__name__}))
            queries = DenseRetriever.load("R0").encode_queries(["N3man born"])
            made[dtype] = queries, load_file(make_retriever(inside, "made") / "model.safetensors")
    finally:
        shutil.rmtree("R0")
        shutil.move("kept", "R0")
    (queries, half), (others, whole) = made.values()
    assert (queries == others).all()
    for name, weight in half.items():
        assert weight.dtype == np.float32 and (weight == whole[name]).all()
    moved = [(weight != weights[name].astype(np.float32)).mean() for name, weight in half.items()]
    assert np.mean(moved) > 0.5


def test_another_seed_gives_another_retriever(inside):
    set_params(inside, retriever={"steps": 4, "batch_size": 8})
    first = hashes(make_retriever(inside, "seed0"))
    params = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump(params | {"seed": 1}))
    other = hashes(make_retriever(inside, "seed1"))
    assert {name for name in first if first[name] != other[name]} == {"model.safetensors"}


def test_a_folder_asks_as_it_was_trained(inside):
    from sentence_transformers import SentenceTransformer

    prompts = {"query_prompt": "query: ", "passage_prompt": "passage: "}
    set_params(
        inside,
        encoder={"steps": 2, "batch_size": 8} | prompts,
        retriever={"steps": 2, "batch_size": 4, "input": "query", "max_length": 24},
    )
    shutil.move("R0", "kept")
    make_encoder(inside)
    assert hashes(inside / "R0") == hashes(make_encoder(inside, "again"))
    made = make_retriever(inside, "asks")
    assert read_format(made) == QueryFormat("query", "query: ", "passage: ")
    model = SentenceTransformer(str(made), device="cpu")
    assert model.prompts == {"query": "query: ", "document": "passage: "}
    assert model.max_seq_length == 24
    mine = DenseRetriever.load(made).encode_queries(["where was N3man born"])
    assert np.allclose(mine, model.encode_query(["where was N3man born"]), atol=1e-6)
    assert not list(made.rglob("*.bin"))
    shutil.rmtree("R0")
    shutil.move("kept", "R0")


def test_a_ready_made_encoder_is_referred_to(inside, monkeypatch):
    set_params(inside, encoder={"model": str(inside / "R0"), "query_prompt": "query: "})
    folder = make_encoder(inside, "reference")
    assert sorted(hashes(folder)) == ["reference.json", "retriever.json"]
    assert read_format(folder) == QueryFormat("query", "query: ", "")
    assert DenseRetriever.load(folder).encode_queries(["N3man"]).shape == (1, 32)


def test_an_empty_pairs_file_is_one_line(inside):
    Path("empty.jsonl").touch()
    with pytest.raises(InputError, match=r"empty\.jsonl: holds no training instance"):
        arguments = ["--iteration", "1", "--pairs", "empty.jsonl", "--encoder", "R0"]
        arguments += ["--output", "x", "--metrics", "x.json", "--curves", "x.csv"]
        retriever.main(arguments)


def test_cloze_queries_are_thinned_passages_with_noise():
    contents = [passage.contents for passage in world.corpus()]
    noise = Noise(fillers=["where", "does"], families=[["studied", "study"]])
    pairs = list(cloze_pairs(contents, 64, 16, noise, seed=0))
    assert pairs == list(cloze_pairs(contents, 64, 16, noise, seed=0))
    told = [set(text.lower().replace('"', " ").replace(".", " ").split()) for text in contents]
    for query, passage in pairs:
        words = set(query.replace("study", "studied").split()) - {"where", "does"}
        assert any(set(passage.split()) | words <= text for text in told)
    assert any("study" in query for query, _ in pairs)
    assert any(query.startswith(("where", "does")) for query, _ in pairs)
    for start in range(0, 64, 16):
        assert len({passage for _, passage in pairs[start : start + 16]}) > 12


def test_words_are_whole_and_others_are_spelled():
    tokens = vocabulary(['"Soman"\nThe filmmaker Soman was born.', "who Zoë"])
    assert {"soman", "filmmaker", "who", "zoë", "##z", '"', "##ë"} <= set(tokens)
    assert len(tokens) == len(set(tokens))


def test_a_retriever_that_diverges_is_no_output(inside, monkeypatch):
    told = r"^retriever@1, step \d+: .* \(last finite: loss .* lower 'retriever\.learning_rate'$"
    set_params(inside, retriever={"steps": 12, "batch_size": 8, "learning_rate": 1e30})
    with pytest.raises(InputError, match=told):
        make_retriever(inside, "diverged")
    assert not list(inside.glob("diverged*"))


def test_an_encoder_that_diverges_is_no_output(inside):
    set_params(inside, encoder={"steps": 8, "batch_size": 8, "learning_rate": 1e30})
    with pytest.raises(InputError, match=r"^encoder, step \d: .* lower 'encoder\.learning_rate'$"):
        make_encoder(inside, "diverged")
    assert not list(inside.glob("diverged*"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_gradient_that_is_no_number_stops_the_training(inside, monkeypatch, value):
    """Though the loss is one: it would make NaN of every weight."""
    compute = InstanceLoss.compute_loss_from_embeddings

    def spoils(self, embeddings, labels):
        embeddings[1].register_hook(lambda gradient: gradient * value)
        return compute(self, embeddings, labels)

    monkeypatch.setattr(InstanceLoss, "compute_loss_from_embeddings", spoils)
    set_params(inside, retriever={"steps": 4, "batch_size": 8})
    told = r"retriever@1, step 1: gradient norm is (nan|inf) \(last finite: loss"
    with pytest.raises(InputError, match=told):
        make_retriever(inside, "diverged")


def test_weights_that_the_last_step_breaks_are_no_output(inside, monkeypatch):
    """Of a token that no text holds, so that no loss can tell."""
    train = SentenceTransformerTrainer.train

    def breaks(self, *args, **kwargs):
        train(self, *args, **kwargs)
        self.model.get_submodule("0.model.embeddings.word_embeddings").weight.data[1] = np.nan

    monkeypatch.setattr(SentenceTransformerTrainer, "train", breaks)
    set_params(inside, retriever={"steps": 2, "batch_size": 8})
    told = r"step 2: 1 of \d+ weight tensors are not finite, as '.*word_embeddings.weight'"
    with pytest.raises(InputError, match=told):
        make_retriever(inside, "diverged")
    assert not list(inside.glob("diverged*"))


def test_more_tokens_than_r0_can_read_are_refused_by_the_first_stage(inside):
    refusals = {
        None: r"'retriever.max_length' is more than 'encoder.max_length' \(48\)",
        str(inside / "R0"): r"'retriever.max_length' is 49, but R_0 can read 48",
    }
    for model, refusal in refusals.items():
        set_params(inside, encoder={"model": model}, retriever={"max_length": 49})
        with pytest.raises(InputError, match=refusal):
            make_encoder(inside, "longer")
    set_params(inside, encoder={"model": str(inside / "R0")}, retriever={"max_length": 48})
    make_encoder(inside, "as_long")


def test_weights_reach_the_training_and_are_counted(inside):
    """On rows of one to all negatives, of which the first is redundant and the last was opened."""
    rows = [json.loads(line) for line in Path("pairs.jsonl").read_text().splitlines()]
    shutil.copy("pairs.jsonl", "untiered.jsonl")
    for number, row in enumerate(rows):
        tiers = ["redundancy", *["weak"] * 9]
        row["negatives"] = row["negatives"][: 1 + number % len(row["negatives"])]
        row["negatives"] = [n | {"tier": t} for n, t in zip(row["negatives"], tiers)]
        row["reasoning"] = number % 4
    weak = sum(len(row["negatives"]) - 1 for row in rows)
    try:
        write_jsonl("pairs.jsonl", rows)
        settings = {"steps": 4, "batch_size": 8}
        made, metrics = {}, {}
        for name, weights in {
            "unweighted": {},
            "tiers": {"tier_weights": {}},
            "ones": {"tier_weights": {"redundancy": 1.0, "weak": 1.0}},
            "reasoning": {"instance_weights": True},
        }.items():
            set_params(inside, retriever=settings | weights)
            made[name] = load_file(make_retriever(inside, name) / "model.safetensors")
            metrics[name] = read_json(f"{name}.json")
    finally:
        shutil.move("untiered.jsonl", "pairs.jsonl")
    apart = {
        name: max(np.abs(one[part] - made["unweighted"][part]).max() for part in one)
        for name, one in made.items()
    }
    assert apart["ones"] == 0 and apart["tiers"] > 1e-5 and apart["reasoning"] > 1e-5
    assert metrics["tiers"]["tiers"] == {"redundancy": 48, "hard": 0, "weak": weak}
    assert metrics["reasoning"]["without_reasoning"] == 12
    assert not {"tiers", "without_reasoning"} & set(metrics["unweighted"])
    set_params(inside, retriever=settings | {"tier_weights": {}})
    with pytest.raises(InputError, match=r"^pairs\.jsonl: a negative of 'q\d+#1' has no 'tier'"):
        make_retriever(inside, "none")
