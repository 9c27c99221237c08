"""Failure signatures: each is provoked, and ends the run where it is told to."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from stages import health
from stages.common.records import read_json, write_json
from stages.params import Health, Params

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

    def check(turn: str, stop: bool = False, **changed: dict) -> int:
        OmegaConf.save(OmegaConf.structured(Params(health=Health(stop=stop))), "params.yaml")
        for stage, figures in (WELL | changed).items():
            write_json(Path("metrics") / stage / f"{turn}.json", figures)
        before = ["--before", f"metrics/health/{int(turn) - 1}.json"] if turn != "0" else []
        return health.main(["--turn", turn, *before, *ARGUMENTS.format(turn).split()])

    assert check("0") == 0 and check("1") == 0
    assert read_json("metrics/health/1.json")["shown"] == []
    return check


BETTER = {"sets": {"a": {"em": 0.9, "searches": 1.9}}}


def agent(**last: float) -> dict:
    return {"agent": WELL["agent"] | {"last": WELL["agent"]["last"] | last}}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"evaluate": {"sets": {"a": {"em": 0.5, "searches": 1.0}}}}, "answers fewer questions"),
        ({"evaluate": {"sets": {"a": {"em": 0.9, "searches": 3.0}}}}, "the turn searches more"),
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
    assert sentence in told and "ends at turn 2" in told


def test_a_good_turn_goes_on_with_stop_too(run):
    assert run("2", stop=True, evaluate=BETTER) == 0
    gate = Path("data/health/2.json").read_bytes()
    assert run("2", stop=False, evaluate=BETTER) == 0
    assert Path("data/health/2.json").read_bytes() == gate  # so no later stage runs again
