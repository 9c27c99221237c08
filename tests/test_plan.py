"""The plan of a run, from parameters alone, and what stages took beside it."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from stages import candidates, correctness, evaluate, oracle, relevance, trajectories, visits
from stages.composing.compose import compose
from stages.params import (
    Baseline,
    CorrectnessMode,
    Index,
    IndexKind,
    Ivfpq,
    PairSource,
    Published,
    Questions,
    VisitSource,
    load_params,
)
from stages.planning import fits, nodes
from stages.planning.approximate import file_bytes
from stages.planning.costs import LISTED, PROMPT, WORD, Planner
from stages.planning.hardware import ACCELERATORS
from stages.planning.measured import METRICS, with_measured
from stages.planning.sizes import Sizes, language_model, sizes
from stages.plumbing.errors import InputError, run
from stages.provenance.hashes import hash_of
from stages.retrieval import approximate
from stages.tools import plan
from stages.world.questions import TEST_SETS, sets_of
from stages.world.world import SyntheticWorld

ROOT = Path(__file__).parents[1]
SCALES = sorted(path.stem for path in (ROOT / "conf/scale").glob("*.yaml"))


def params_of(scale: str, folder: Path, *overrides: str):
    compose(folder / "params.yaml", [f"scale={scale}", *overrides])
    return load_params(folder / "params.yaml")


@pytest.fixture()
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def planned(params, known: Sizes) -> dict:
    return {c.stage: c for c in Planner(params, known, ACCELERATORS["h100"]).costs()}


@pytest.mark.parametrize("scale", SCALES)
def test_every_scale_can_be_planned(at_root, tmp_path, capsys, scale):
    compose(tmp_path / "params.yaml", [f"scale={scale}"])
    plan.main(["--params", str(tmp_path / "params.yaml")])
    printed = capsys.readouterr().out
    assert "compare@" in printed and "In all" in printed and "nan" not in printed
    if scale not in ("laptop", "smoke"):
        assert "(measured)" not in printed, "the figures that git brings are the laptop's"


def test_sizes_of_the_paper_are_read_from_its_parameters(at_root, tmp_path):
    known = sizes(params_of("paper", tmp_path))
    assert (known.agent, known.judge) == (7e9, 72e9)
    assert (known.passages, known.training, known.test) == (21_015_324, 168_232, 51_713)
    assert known.measured == ()


def test_a_retriever_of_published_pairs_costs_what_their_number_says(at_root, tmp_path):
    paper, file = params_of("paper", tmp_path), tmp_path / "pairs.yaml"
    hub = {"hub": "a/b", "revision": "a" * 40, "file": "f"}

    def tokens(entry: dict) -> float:
        file.write_text(yaml.safe_dump({"pairs": [entry]}))
        params = replace(paper, published={"theirs": Published(str(file))})
        return planned(params, sizes(params))["retriever-published@theirs"].read

    block = paper.retriever
    epochs, texts = block.epochs, 2 + paper.pairs.negatives  # passages, and the query
    assert tokens(hub | {"count": 238_000}) == 238_000 * epochs * texts * 150
    (tmp_path / "rows.jsonl").write_text("{}\n" * 30)
    assert tokens({"path": str(tmp_path / "rows.jsonl")}) == 30 * epochs * texts * 150
    assumed = planned(paper, sizes(paper))["retriever@1"].read
    assert tokens({"path": str(tmp_path / "rows.jsonl"), "count": 20}) < assumed
    (tmp_path / "rows.jsonl").write_text("[{}, {}]\n")
    assert tokens({"path": str(tmp_path / "rows.jsonl")}) == assumed == tokens(hub)
    assert tokens({"path": str(tmp_path / "none.jsonl")}) == assumed, "not there yet"


def test_more_nodes_help_as_far_as_a_stage_can_use_them(at_root, tmp_path, capsys):
    """One device does all the work of an hour; the parts are those that the stages make."""
    params = params_of("paper", tmp_path)
    planner = Planner(params, sizes(params), ACCELERATORS["h100"])
    speed = {
        c.stage: round(c.hours / planner.elapsed(c, 512), 6) for c in planner.costs() if c.hours
    }
    assert speed["agent@1"] == params.agent.mini_batch == 256
    assert speed["retriever@1"] == params.retriever.processes == 8
    assert speed["index@1"] == speed["index-0"] == params.compute.devices
    assert speed["trajectories@1"] == speed["relevance@1"] == speed["correctness@1"] == 512
    assert speed["evaluate@1"] == -(-51_713 // evaluate.SHARD)
    assert all(planner.elapsed(c, 8) == c.hours / 8 for c in planner.costs()), "of one node, all"
    parts = nodes.QUESTIONS, nodes.JUDGED, nodes.ROLLOUTS, nodes.ASKED, nodes.QUERIES, nodes.VISITS
    made = (trajectories, relevance, correctness, evaluate, candidates, visits)
    assert [*parts, nodes.ORACLE] == [stage.SHARD for stage in (*made, oracle)]
    compose(
        tmp_path / "params.yaml",
        ["scale=paper", "compute.nodes=32", "compute.ray=auto", "compute.retriever_url=http://r"],
    )
    plan.main(["--params", str(tmp_path / "params.yaml")])
    printed = " ".join(capsys.readouterr().out.split())
    assert "retriever@1, retriever@2: 8 of 256 devices work (the batch is" in printed


def test_an_inverted_file_takes_what_the_plan_says(tmp_path):
    """The file's size to a thousandth, which is its header."""
    vectors = np.random.default_rng(0).standard_normal((40_000, 16), np.float32)
    block = Ivfpq(lists=64, bytes=8)
    index = Index(kind=IndexKind.ivfpq, sample=4000, ivfpq=block)
    approximate.build(vectors, index, 1, tmp_path)
    size = (tmp_path / approximate.FILE).stat().st_size
    assert size == pytest.approx(file_bytes(40_000, 16, block), rel=1e-3)


def test_the_building_of_an_inverted_file_is_planned(at_root, tmp_path, capsys):
    compose(tmp_path / "params.yaml", ["scale=paper", "index.kind=ivfpq"])
    plan.main(["--params", str(tmp_path / "params.yaml")])
    printed = " ".join(capsys.readouterr().out.split())
    found = re.search(
        r"Each IVF-PQ index is built in one process, in up to ([0-9.]+) GB of a machine's memory: "
        r"on one core ([0-9.]+) h of training and ([0-9.]+) h of adding",
        printed,
    )
    room, trained, added = map(float, found.groups())
    assert room == pytest.approx(2 * 21_015_324 * (64 + 8) / 1e9, rel=0.3), "lists, grown"
    told = json.loads((ROOT / "metrics/benchmarks/ivfpq.json").read_text())
    first = told["builds"][0]
    lists = (8192 + 256) / (first["lists"] + 256) * 768 / told["dimension"]
    expected = first["add_seconds"] * 21_015_324 / first["passages"] * lists / 3600
    assert added == pytest.approx(expected, rel=0.01)
    vectors = 400_000 / told["sample"]  # that are compared with each list
    expected = first["train_seconds"] * vectors * 8192 / first["lists"] * 768 / told["dimension"]
    assert trained == pytest.approx(expected / 3600, rel=0.01)
    none = ["--metrics-folder", str(tmp_path / "none")]
    plan.main(["--params", str(tmp_path / "params.yaml"), *none])
    assert "has not been measured here" in " ".join(capsys.readouterr().out.split())


def test_costs_follow_the_method(at_root, tmp_path):
    params = params_of("paper", tmp_path)
    known = sizes(params)
    lazy = planned(params, known)
    assert lazy["agent@1"].rollouts == 100 * 512
    assert lazy["trajectories@1"].rollouts == 168_232
    params.correctness.mode = CorrectnessMode.exhaustive
    everything = planned(params, known)
    assert everything["correctness@1"].rollouts == 168_232 * known.searches * 20
    assert everything["correctness@1"].hours > lazy["correctness@1"].hours
    assert lazy["index@1"].disk == pytest.approx(2 * 21_015_324 * 768 * 2 / 1e9), "DVC's copy too"
    params.replug.retrievers = {"replug": {}}
    baseline = planned(params, known)
    assert baseline["replug@replug"].rollouts == 10_000
    assert baseline["replug@replug"].read > 10_000 * 20 * known.passage_tokens
    assert baseline["index-replug@replug"].disk == baseline["index@1"].disk
    assert "visits@1" not in everything, "no judge is asked for any"
    params.visits.source = VisitSource.judged
    asked = planned(params, known)["visits@1"]
    assert asked.rollouts == 168_232 * known.searches
    assert 0 < asked.hours < everything["relevance@1"].hours
    params.pairs.source = PairSource.visits_then_gac
    half = planned(params, replace(known, visited=0.75))["correctness@1"]
    assert half.rollouts == everything["correctness@1"].rollouts / 4, "queries without a visit"
    params.correctness.mode = CorrectnessMode.lazy
    part = planned(params, known)["correctness@1"].rollouts / lazy["correctness@1"].rollouts
    assert part == pytest.approx(1 - known.visited)
    params.correctness.mode, params.pairs.source = CorrectnessMode.exhaustive, PairSource.gac
    params.baseline = {"four": Baseline(model="Tevatron/AgentIR-4B")}
    of_four = planned(params, known)["index-baseline@four"]
    assert of_four.hours / lazy["index@1"].hours == pytest.approx(4.02 / 0.109)
    assert of_four.disk / lazy["index@1"].disk == pytest.approx(2560 / 768)
    smaller = planned(params, replace(known, judge=7e9))
    ratio = everything["relevance@1"].hours / smaller["relevance@1"].hours
    assert ratio == pytest.approx(72 / 7)


@pytest.mark.parametrize(
    ("trainer", "memory"),
    [
        ("verl", 7 * 18 + 8 * 152_064 * (512 * 28 + 6 * 0.04 * 7e9**0.5) / 1e9),
        ("loop", 7 * (36 + 2)),
    ],
)
def test_what_ppo_keeps(at_root, tmp_path, trainer, memory):
    """On 8 devices with two rollouts a pass: policy and critic take turns there under verl, and
    both are on disk twice, 12 bytes a parameter each, beside the agent and DVC's copy of it.
    """
    words = ["scale=paper", f"agent.trainer={trainer}", "agent.micro_batch=16"]
    compose(tmp_path / "params.yaml", words)
    params = load_params(tmp_path / "params.yaml")
    cost = planned(params, sizes(params))["agent@1"]
    assert cost.memory == pytest.approx(memory)
    assert cost.disk == pytest.approx(2 * 2 * 12 * 7 + 2 * 2 * 7)


@pytest.mark.parametrize(("links", "copies"), [("reflink,copy", 2), ("hardlink,copy", 1)])
def test_copies_in_the_cache_are_counted(at_root, tmp_path, monkeypatch, capsys, links, copies):
    compose(tmp_path / "params.yaml", ["scale=paper"])
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(f"[cache]\n    type = {links}\n")
    monkeypatch.chdir(tmp_path)
    for name in ("conf", "data"):
        (tmp_path / name).symlink_to(ROOT / name)
    plan.main([])
    printed = capsys.readouterr().out
    row, unit = column(printed, "index-0", "disk")
    assert (row, unit) == (f"{copies * 21_015_324 * 768 * 2 / 1e9:.3g}", "GB")
    assert ("DVC's copy" in printed) == (copies == 2)


@pytest.mark.parametrize("overrides", [(), ("+questions=six_hops",)])
def test_the_passages_of_a_made_world_are_counted(at_root, tmp_path, overrides):
    params = params_of("laptop", tmp_path, *overrides)
    made = [len(SyntheticWorld.make(seed, params.corpus.world).facts) for seed in range(5)]
    assert sizes(params).passages == pytest.approx(np.mean(made), rel=0.03)


@pytest.mark.parametrize("sets", [None, ["indomain"], ["indomain", "threehop"]])
def test_the_sets_that_are_asked_are_counted(at_root, tmp_path, sets):
    params = params_of("laptop", tmp_path)
    params.questions.sets = sets
    assert sizes(params).test == 200 * len(sets or sets_of(teachers=False))
    folder = tmp_path / "test"
    folder.mkdir()
    (tmp_path / "train.jsonl").write_text("{}\n" * 9)
    for name in TEST_SETS:
        (folder / f"{name}.jsonl").write_text("{}\n" * 5)
    params.questions = Questions(str(tmp_path), training=7, test=4, sets=sets)
    assert (sizes(params).training, sizes(params).test) == (7, 4 * len(sets or TEST_SETS))


@pytest.fixture()
def measured(at_root, tmp_path) -> Path:
    """A folder with params.yaml, metrics, and a lock that says they belong together."""
    params_of("paper", tmp_path)
    values = yaml.safe_load((tmp_path / "params.yaml").read_text())
    stages = {}
    for stage, keys, name, metrics in (
        ("base", ["base", "protocol"], None, None),
        ("corpus", ["corpus", "seed"], "index/0", {"in": 1234}),
        ("trajectories@1", ["rollout", "seed"], "trajectories/1", {"searches": 1.5}),
        ("correctness@1", ["correctness"], "correctness/1", {"saved_share": 0.9}),
        ("pairs@1", ["pairs"], "pairs/1", {"positive_selection_rate": 0.25}),
    ):
        stages[stage] = {"params": {"params.yaml": {key: values[key] for key in keys}}}
        if name:
            (tmp_path / name).parent.mkdir()
            (tmp_path / f"{name}.json").write_text(json.dumps(metrics))
    stages["correctness@1"]["params"]["params.yaml"]["pairs.threshold"] = 60
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    return tmp_path


def known_with(folder: Path, *overrides: str) -> Sizes:
    compose(folder / "params.yaml", ["scale=paper", *overrides])
    params = load_params(folder / "params.yaml")
    return with_measured(sizes(params), folder / "params.yaml", folder, folder / "dvc.lock")


def test_what_a_run_measured_replaces_assumptions(measured):
    known = known_with(measured)
    assert (known.passages, known.searches, known.selected) == (1234, 1.5, 0.25)
    assert known.lazy_share == pytest.approx(0.1)
    assert set(known.measured) == set(METRICS) - {"visits"}, "of agents that have such a tool"
    spared = {"saved_share": 0.9, "visited": 30, "in": 40}
    (measured / "correctness/1.json").write_text(json.dumps(spared))
    known = known_with(measured)
    assert (known.visited, known.lazy_share) == (0.75, pytest.approx(0.4)), "of those without one"
    assert {"visited", "lazy_share"} < set(known.measured)
    calls = {"searches": 1.5, "queries": 40, "visits": 30}
    (measured / "trajectories/1.json").write_text(json.dumps(calls))
    assert known_with(measured).visits == 0.75


@pytest.mark.parametrize(
    ("override", "lost"),
    [
        ("corpus.source=conf/data/hotpotqa_contexts.yaml", {"passages"}),
        ("rollout.max_searches=4", {"searches"}),
        ("pairs.threshold=50", {"selected", "lazy_share"}),
        ("pairs.negatives=7", {"selected"}),
        ("base.agent.model=Qwen/Qwen2.5-3B", {"searches", "selected", "lazy_share"}),
        ("retriever.epochs=1", set()),
    ],
)
def test_what_another_run_measured_does_not(measured, override, lost):
    made = set(METRICS) - {"visits"}  # of agents without such a tool
    assert set(known_with(measured, override).measured) == made - lost


def test_a_file_that_is_not_the_locks_measures_nothing(measured):
    lock = yaml.safe_load((measured / "dvc.lock").read_text())
    out = {"path": "metrics/correctness/1.json", "md5": hash_of(measured / "correctness/1.json")}
    lock["stages"]["correctness@1"]["outs"] = [out]
    (measured / "dvc.lock").write_text(yaml.safe_dump(lock))
    assert "lazy_share" in known_with(measured).measured
    (measured / "correctness/1.json").write_text('{"saved_share": 0.5}')
    assert "lazy_share" not in known_with(measured).measured


@pytest.mark.parametrize("share", ["-200.0", "NaN", "-1e999", '"1"', "[]", "1.5"])
def test_a_figure_out_of_its_range_is_no_estimate(measured, share):
    (measured / "correctness/1.json").write_text(f'{{"saved_share": {share}}}')
    with pytest.raises(InputError, match=r"correctness/1\.json: .*saved_share"):
        known_with(measured)


@pytest.mark.parametrize("price", ["nan", "inf", "-1"])
def test_a_price_that_is_none_is_told(at_root, price):
    with pytest.raises(InputError, match="--price: must be a number from 0"):
        plan.main([f"--price={price}"])


def test_limits_that_cut_too_often_are_warned_of(measured, capsys):
    file = measured / "trajectories/1.json"
    args = [f"--{n}={measured / v}" for n, v in (("params", "params.yaml"), ("lock", "dvc.lock"))]
    metrics = {"searches": 1.5, "out": 1000, "queries": 2000}

    def warned(**limits: int) -> str:
        file.write_text(json.dumps(metrics | {"limits": limits}))
        plan.main([*args, f"--metrics-folder={measured}"])
        return capsys.readouterr().out

    assert "Iteration 1:" not in warned(cut=20, refused=10, lost=10)
    said = warned(cut=21, refused=10, lost=11)
    assert "Iteration 1: 21 observations were cut, of 2000 searches; 11 questions were lost" in said
    (measured / "dvc.lock").unlink()
    assert "Iteration 1:" not in warned(cut=999, refused=0, lost=0), "of another run"


def test_an_agent_that_opens_passages_is_shown_lists_and_takes_more_turns(at_root, tmp_path):
    plain = params_of("paper", tmp_path)
    params = params_of("paper", tmp_path, "protocol=visit_tool", "visits.source=tool")
    known = sizes(params)
    assert (sizes(plain).visits, known.visits) == (0, 1)
    shows, opens = planned(plain, sizes(plain)), planned(params, known)
    one, other = shows["trajectories@1"], opens["trajectories@1"]
    turns = 2 * known.searches + 1
    assert other.written / one.written == pytest.approx(turns / (known.searches + 1))
    lists = 3 * (LISTED + WORD * params.protocol.snippet_words)
    shown = known.searches * (lists + known.passage_tokens)
    assert other.read == pytest.approx(other.rollouts * (PROMPT + shown))
    assert opens["agent@1"] == shows["agent@1"], "PPO has a protocol of its own"
    assert opens["evaluate@1"].written > shows["evaluate@1"].written
    assert "visits@1" not in opens
    params.visits.verify = True
    judged = planned(params, replace(known, visits=0.5))["visits@1"]
    assert judged.rollouts == other.rollouts * known.searches / 2, "one question a visit"
    params.rollout.max_visits = 1
    assert planned(params, known)["trajectories@1"].written < other.written


def test_a_limit_below_what_passages_take_is_warned_of(at_root, tmp_path, capsys):
    compose(tmp_path / "params.yaml", ["scale=gpu", "agent.max_information_tokens=400"])
    plan.main(["--params", str(tmp_path / "params.yaml")])
    said = " ".join(capsys.readouterr().out.split())
    assert "450 tokens, and 'agent.max_information_tokens' leaves 400: most" in said
    assert "'rollout.max_information_tokens' leaves" not in said


def test_nothing_is_measured_without_a_lock(measured):
    (measured / "dvc.lock").unlink()
    assert known_with(measured).measured == ()


def test_a_stage_that_dvc_runs_leaves_what_it_took(at_root, tmp_path, monkeypatch, capsys):
    compose(tmp_path / "params.yaml", ["scale=smoke"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "dvc.yaml:index-0")
    with pytest.raises(SystemExit):
        run(lambda: None)
    row = json.loads((tmp_path / "tmp/usage.jsonl").read_text())
    assert row["stage"] == "index-0" and row["memory_gib"] > 0
    (tmp_path / "tmp/usage.jsonl").write_text(json.dumps(row | {"hours": 1.25}) + "\n")
    plan.main([])
    printed = capsys.readouterr().out
    assert column(printed, "index-0", "took") == ("1.25", "h")
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    plan.main([])
    assert capsys.readouterr().out == printed, "however the file is laid out"
    for other in ({"seed": 7}, {"compute": params["compute"] | {"threads": 9}}):
        (tmp_path / "params.yaml").write_text(json.dumps(params | other))
        plan.main([])
        assert "took" not in capsys.readouterr().out, "another run's figures"


def recipe() -> list[str]:
    """The overrides at the head of conf/scale/gpu.yaml for a card of 24 GB."""
    lines = (ROOT / "conf/scale/gpu.yaml").read_text(encoding="utf-8").splitlines()
    head = [line for line in lines if line.startswith("#")]
    return re.findall(r"\b[a-z]+\.[\w.]+=\S+", " ".join(head))


def said_of(folder: Path, capsys, accelerator: str, *overrides: str) -> str:
    compose(folder / "params.yaml", overrides)
    plan.main(["--params", str(folder / "params.yaml"), "--accelerator", accelerator])
    return " ".join(capsys.readouterr().out.split())


def test_the_recipe_for_24_gb_fits_and_a_judge_of_7b_does_not(at_root, tmp_path, capsys):
    words = ["scale=gpu", *recipe()]
    assert len(words) == 6 and "compute.gpu_memory=.7" in words
    assert "does not fit" not in said_of(tmp_path, capsys, "l4", *words)
    larger = [word for word in words if "judge" not in word]
    said = said_of(tmp_path, capsys, "l4", *larger)
    assert (
        "The judge does not fit: weights and the cache for a text of 32,768 tokens are 17.1 GB a "
        "device, and compute.gpu_memory=0.7 of 24 GB is 16.8."
    ) in said and "The agent does not fit" not in said
    elsewhere = [*larger, "compute.judge_url=http://judge"]
    assert "does not fit" not in said_of(tmp_path, capsys, "l4", *elsewhere)


@pytest.mark.parametrize(
    ("scale", "accelerator", "unfit"),
    [
        ("gpu", "h100", []),
        ("paper", "a100", []),
        ("paper", "l40s", []),  # 72B on four cards of 48 GB, at .85
        ("paper", "l4", ["judge"]),
        ("released", "l40s", []),  # nobody judges
        ("laptop", "cpu", []),
    ],
)
def test_what_does_not_fit_beside_what_vllm_leaves_is_told(
    at_root, tmp_path, scale, accelerator, unfit
):
    params = params_of(scale, tmp_path)
    told = fits.too_large(params, sizes(params), ACCELERATORS[accelerator])
    assert [line.split()[1] for line in told] == unfit


# Hidden, intermediate, layers, heads, heads of keys, vocabulary, whether the output layer is tied.
SHAPES = {
    0.5e9: (896, 4864, 24, 14, 2, 151_936, True),
    1.5e9: (1536, 8960, 28, 12, 2, 151_936, True),
    3e9: (2048, 11_008, 36, 16, 2, 151_936, True),
    7e9: (3584, 18_944, 28, 28, 4, 152_064, False),
    14e9: (5120, 13_824, 48, 40, 8, 152_064, False),
    32e9: (5120, 27_648, 64, 40, 8, 152_064, False),
    72e9: (8192, 29_568, 80, 64, 8, 152_064, False),
}


@pytest.mark.parametrize("size", fits.QWEN)
def test_the_sizes_of_models_are_those_of_their_shapes(size):
    width, inner, layers, heads, keys, words, tied = SHAPES[size]
    narrow = width // heads * keys
    attention = 2 * width * width + 2 * width * narrow + width + 2 * narrow
    whole = layers * (attention + 3 * width * inner + 2 * width) + width
    whole += words * width * (1 if tied else 2)
    assert fits.QWEN[size][0] == pytest.approx(whole, rel=1e-3)
    assert fits.QWEN[size][1] == 2 * narrow * layers
    assert fits.room(size, 1000) == pytest.approx(2 * (whole + 2000 * narrow * layers) / 1e9, 1e-3)
    next_larger = fits.room(size - 1e6, 1000) - fits.room(size - 1e6, 0)
    assert next_larger == pytest.approx(4 * narrow * layers * 1000 / 1e9), "the cache of another"


@pytest.mark.parametrize(("scale", "told"), [("gpu", True), ("paper", True), ("laptop", False)])
def test_the_driver_is_told(at_root, tmp_path, capsys, scale, told):
    said = said_of(tmp_path, capsys, "h100", f"scale={scale}")
    assert ("driver 580 or newer (CUDA 13)" in said) == told


@pytest.mark.parametrize(
    ("scale", "of_card", "cell"),
    [("gpu", 12.5, ("13.4", "GB")), ("gpu", None, ("", "GB")), ("laptop", None, ("96.6", "GB"))],
)
def test_memory_of_a_card_stands_beside_no_machines(
    at_root, tmp_path, monkeypatch, capsys, scale, of_card, cell
):
    """Measured in GiB, shown in GB; where no card was measured the cell is empty."""
    compose(tmp_path / "params.yaml", [f"scale={scale}"])
    monkeypatch.setattr(plan, "FILE", tmp_path / "usage.jsonl")
    known = plan.params_fingerprint(tmp_path / "params.yaml")
    row = {"hours": 1, "memory_gib": 90.0, "gpu_memory_gib": of_card, "params": known}
    stages = ("agent@1", "trajectories@1")
    lines = [json.dumps({"stage": stage} | row) + "\n" for stage in stages]
    (tmp_path / "usage.jsonl").write_text("".join(lines))
    plan.main(["--params", str(tmp_path / "params.yaml")])
    printed = capsys.readouterr().out
    assert [column(printed, stage, "took", 1) for stage in stages] == [cell, cell]
    said = " ".join(printed.split())
    assert ("agent@1 keeps 39 GB (its processes took 97): the" in said) == (scale == "gpu")
    assert ("is the most that it put on one card" in said) == (of_card is not None)


def column(printed: str, stage: str, name: str, which: int = 0) -> tuple[str, str]:
    """The cell of a stage in the first column of that name, or another, and the column's unit."""
    lines = printed.splitlines()
    units = next(n for n, line in enumerate(lines) if line.startswith("stage"))
    end = [found.end() for found in re.finditer(name, lines[units - 1])][which]
    row = next(line for line in lines if line.startswith(f"{stage} "))
    return tuple(line[:end].rsplit(" ", 1)[-1] for line in (row, lines[units]))


@pytest.mark.parametrize("scale", SCALES)
def test_the_plan_is_80_columns_wide_with_one_unit_a_column(at_root, tmp_path, capsys, scale):
    compose(tmp_path / "params.yaml", [f"scale={scale}"])
    words = ["--params", str(tmp_path / "params.yaml"), "--price", "2.5"]
    plan.main(words)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    rows = [
        line for line in lines if re.match(r"(index|evaluate|compare|corpus|agent)[@-]?\S* ", line)
    ]
    assert len(rows) > 3
    for row in rows:
        assert re.fullmatch(r"\S+(\s+(<0\.01|[\d,]+(\.\d+)?))*\s*", row), row


@pytest.mark.parametrize(
    ("name", "size"),
    [("Qwen/Qwen2.5-7B", 7e9), ("a/SmolLM2-135M-Instruct", 135e6), ("x/search-r1-qwen2.5-3b", 3e9)],
)
def test_a_model_says_its_size_by_its_name(name, size):
    from stages.params import BaseModel

    assert language_model(BaseModel(model=name)) == size


def test_the_plan_of_the_paper_has_both_prices(tmp_path, monkeypatch, capsys):
    """All labels of the public code, and a share of them: about 600 and 80 hours of an H100."""
    monkeypatch.chdir(ROOT)
    said = {}
    for name, overrides in (("all", []), ("some", ["trajectories.questions=10000"])):
        compose(tmp_path / f"{name}.yaml", ["scale=paper", *overrides])
        plan.main(["--params", str(tmp_path / f"{name}.yaml"), "--accelerator", "h100"])
        said[name] = capsys.readouterr().out
    hours = {n: float(re.search(r"\(([\d.]+) accelerator hours", t)[1]) for n, t in said.items()}
    assert 550 < hours["all"] < 650 and 70 < hours["some"] < 90
    assert "It labels all 168,232 training questions each iteration." in said["all"]
    fewer = f"With trajectories.questions=10000 it takes {hours['some']:g} accelerator hours."
    assert fewer in said["all"] and fewer not in said["some"]
