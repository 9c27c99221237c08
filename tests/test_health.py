"""Failure signatures: each is provoked, and ends the run where it is told to."""

import json
import math
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from stages import health
from stages.common.records import read_json, write_json
from stages.params import Health, Params
from stages.plumbing.errors import InputError

ARGUMENTS = (
    "--metrics-folder metrics --output data/health/{0}.json --metrics metrics/health/{0}.json"
)

WELL = {
    "agent": {
        "first": {"reward": 0.4, "entropy": 0.05, "response_length": 60.0},
        "last": {"reward": 0.6, "entropy": 0.04, "response_length": 55.0},
    },
    "evaluate": {"sets": {"a": {"em": 0.8, "searches": 2.0}, "b": {"em": 0.6, "searches": 2.2}}},
    "pairs": {"positive_selection_rate": 0.8},
    "relevance": {"uniform_share": 0.01},
}


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def check(iteration: str, stop: bool = False, **changed: dict) -> int:
        OmegaConf.save(OmegaConf.structured(Params(health=Health(stop=stop))), "params.yaml")
        for stage, metrics in (WELL | changed).items():
            write_json(Path("metrics") / stage / f"{iteration}.json", metrics)
        before = (
            ["--before", f"metrics/health/{int(iteration) - 1}.json"] if iteration != "0" else []
        )
        return health.main(
            ["--iteration", iteration, *before, *ARGUMENTS.format(iteration).split()]
        )

    assert check("0") == 0 and check("1") == 0
    assert read_json("metrics/health/1.json")["shown"] == []
    return check


VALUES = (
    *("em", "searches", "selection_rate", "entropy", "length_ratio", "reward_gain"),
    "uniform_share",
)
END = ("sets", "last")
BETTER_SETS = {"sets": {"a": {"em": 0.9, "searches": 1.9}, "b": {"em": 0.8, "searches": 1.9}}}
BETTER = {"sets": {"a": {"em": 0.9, "searches": 1.9}}}


def agent(**last: float) -> dict:
    return {"agent": WELL["agent"] | {"last": WELL["agent"]["last"] | last}}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"evaluate": {"sets": {"a": {"em": 0.5, "searches": 1.0}}}}, "answers fewer questions"),
        (
            {"evaluate": {"sets": {"a": {"em": 0.9, "searches": 3.0}}}},
            "the iteration searches more",
        ),
        ({"pairs": {"positive_selection_rate": 0.3}}, "GAC collapse"),
        (agent(entropy=0.0001), "PPO has no variety left"),
        (agent(response_length=5.0), "responses collapse"),
        (agent(reward=0.3), "PPO loses reward"),
        ({"relevance": {"uniform_share": 0.9}}, "one grade to all"),
    ],
)
def test_every_signature_shows_and_can_end_the_run(run, capsys, changed, sentence):
    changed = {"evaluate": BETTER, **changed}
    assert run("2", **changed) == 0
    assert len(read_json("metrics/health/2.json")["shown"]) == 1
    assert sentence in read_json("metrics/health/2.json")["shown"][0]
    Path("data/health/2.json").unlink()
    assert run("2", stop=True, **changed) == 3
    assert not Path("data/health/2.json").exists()
    told = capsys.readouterr().err
    assert sentence in told and "ends at iteration 2" in told


def without(metrics: dict, path: str) -> dict:
    """`figures` less the key at a path as `last.entropy`."""
    key, _, rest = path.partition(".")
    if rest:
        return metrics | {key: without(metrics[key], rest)}
    return {name: value for name, value in metrics.items() if name != key}


LOST = [
    ("agent", "last.entropy", {"entropy"}),
    ("agent", "last.reward", {"reward_gain"}),
    ("agent", "first.response_length", {"length_ratio"}),
    ("agent", "last", {"entropy", "length_ratio", "reward_gain"}),
    ("evaluate", "sets.a.em", {"em_gain"}),
    ("evaluate", "sets.b.searches", {"searches_rise"}),
    ("evaluate", "sets", {"em_gain", "searches_rise"}),
    ("pairs", "positive_selection_rate", {"selection_ratio"}),
    ("relevance", "uniform_share", {"uniform_share"}),
]


@pytest.mark.parametrize(("stage", "path", "broken"), LOST)
def test_a_figure_that_is_missing_breaks_its_limit(run, capsys, stage, path, broken):
    metrics = WELL | {"evaluate": BETTER_SETS}
    changed = {"evaluate": BETTER_SETS, stage: without(metrics[stage], path)}
    assert run("2", stop=True, **changed) == 3
    assert not Path("data/health/2.json").exists()
    assert capsys.readouterr().err.count("is missing or no finite number") == len(broken)
    rows = read_json("metrics/health/2.json")["signatures"]
    assert {row["name"] for row in rows if row["shows"]} == broken
    assert all(row["value"] is None for row in rows if row["shows"])


def test_an_iteration_after_one_without_figures_has_nothing_sound_to_compare_with(run):
    assert run("1", pairs={}, evaluate={"sets": {}}) == 0
    assert run("2", stop=True, evaluate=BETTER_SETS) == 3
    rows = read_json("metrics/health/2.json")["signatures"]
    shown = {row["name"] for row in rows if row["shows"]}
    assert shown == {"em_gain", "searches_rise", "selection_ratio"}


@pytest.mark.parametrize("figure", ["NaN", "Infinity", "-Infinity", "1e999"])
@pytest.mark.parametrize(("stage", "path"), [row[:2] for row in LOST if row[1] not in END])
def test_a_figure_that_is_no_number_is_no_go_on(run, figure, stage, path):
    metrics = json.loads(json.dumps((WELL | {"evaluate": BETTER_SETS})[stage]))
    *above, key = path.split(".")
    place = metrics
    for name in above:
        place = place[name]
    place[key] = "?"
    file = Path("metrics") / stage / "2.json"
    limits = Params(health=Health(stop=True))
    assert run("2", evaluate=BETTER_SETS) == 0
    Path("data/health/2.json").unlink()
    OmegaConf.save(OmegaConf.structured(limits), "params.yaml")
    file.write_text(json.dumps(metrics).replace('"?"', figure))
    arguments = ["--iteration", "2", "--before", "metrics/health/1.json"]
    with pytest.raises(InputError, match=f"^{file}: '{path}' is -?(nan|inf), which is no finite"):
        health.main([*arguments, *ARGUMENTS.format("2").split()])
    assert not Path("data/health/2.json").exists()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_every_signature_sees_a_value_that_is_no_number(value):
    now = dict.fromkeys(VALUES, value)
    assert all(s.shows for s in health.signatures(now, dict.fromkeys(VALUES, 1.0), Health()))
    assert not any(s.shows for s in health.signatures({}, {}, Health()))


def test_what_has_nothing_to_compare_stays_none(run):
    off = {"in": 5, "out": 5, "dropped": {}}
    assert run("1", stop=True, relevance=off) == 0
    rows = {row["name"]: row for row in read_json("metrics/health/1.json")["signatures"]}
    none = {"em_gain", "searches_rise", "selection_ratio", "uniform_share"}
    assert {name for name, row in rows.items() if row["value"] is None} == none
    assert not any(row["shows"] for row in rows.values())


def test_a_good_iteration_goes_on_with_stop_too(run):
    assert run("2", stop=True, evaluate=BETTER) == 0
    gate = Path("data/health/2.json").read_bytes()
    assert run("2", stop=False, evaluate=BETTER) == 0
    assert Path("data/health/2.json").read_bytes() == gate  # so no later stage runs again


def test_development_sets_decide_where_there_are_any(run):
    same = {"a": {"em": 0.7, "searches": 2.1}}
    worse = {"a": {"em": 0.5, "searches": 2.1}}
    run("1", evaluate=BETTER | {"development": same})
    run("2", evaluate=BETTER | {"development": worse})
    (shown,) = read_json("metrics/health/2.json")["shown"]
    assert "answers fewer questions (development sets): em_gain is -0.2" in shown
    assert read_json("metrics/health/2.json")["values"]["em"] == 0.5


def test_without_development_sets_the_sentence_is_of_test_sets(run):
    worse = {"a": {"em": 0.5, "searches": 3.0}}
    run("2", evaluate={"sets": worse})
    shown = read_json("metrics/health/2.json")["shown"]
    assert [sentence.partition(":")[0] for sentence in shown] == [
        "the iteration answers fewer questions (test sets)",
        "the iteration searches more (test sets)",
    ]
    first = read_json("metrics/health/0.json")["signatures"][0]
    assert first["meaning"] == "the iteration answers fewer questions"
