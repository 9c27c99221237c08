"""The report from a made-up flywheel: figures against their files, escaping, bytes, cases."""

import csv
import json
import re
from html.parser import HTMLParser

import flywheel_files
import pytest
from omegaconf import OmegaConf

from stages import report, summary
from stages.errors import InputError
from stages.records import read_json, read_jsonl, write_json, write_jsonl
from stages.reporting.cases import choose_cases
from stages.reporting.comparisons import difference
from stages.reporting.health import warnings
from stages.reporting.overview import verdict
from stages.reporting.predictions import read_predictions
from stages.reporting.results import read_results

ARGUMENTS = (
    "--metrics-folder metrics --predictions data/predictions --passages data/corpus/passages.jsonl "
    "--output data/report --metrics metrics/report.json --plots metrics/report.csv"
)


@pytest.fixture
def flywheel(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr("stages.tracking.rebuild", lambda *given: None)  # test_tracking.py has it
    flywheel_files.write_flywheel(tmp_path)
    OmegaConf.save(OmegaConf.structured(flywheel_files.params()), "params.yaml")
    return tmp_path


def results(folder):
    return read_results(folder / "metrics", flywheel_files.params())


class Tags(HTMLParser):
    """Collects tags and text, and checks that tags close in order."""

    VOID = ("meta", "br", "path", "use", "stop", "line", "rect", "circle")

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], set(), []

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_holds_the_figures_and_needs_no_network(flywheel):
    report.main(ARGUMENTS.split())
    page = (flywheel / "data/report/index.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    assert not re.search(r"(src|href)=.?https?:", page) and "@import" not in page
    text = " ".join(tags.text)
    for name, pair in ((p.name, p) for p in results(flywheel).pairs):
        stored = read_json(flywheel / f"metrics/evaluate/{name}.json")["sets"]
        for figures in stored.values():
            assert f"{100 * figures['em']:.1f}" in text and f"{figures['searches']:.2f}" in text
        assert pair.label in text


def test_hostile_text_is_shown_and_never_run(flywheel):
    report.main(ARGUMENTS.split())
    tags = Tags()
    tags.feed((flywheel / "data/report/index.html").read_text())
    assert "script" not in tags.seen
    assert flywheel_files.HOSTILE in " ".join(tags.text)


def test_the_same_figures_give_the_same_bytes(flywheel):
    files = ("data/report/index.html", "data/report/pairs.csv", "metrics/report.json")
    report.main(ARGUMENTS.split())
    first = [(flywheel / name).read_bytes() for name in files]
    report.main(ARGUMENTS.split())
    assert [(flywheel / name).read_bytes() for name in files] == first


def test_csv_and_json_repeat_the_evaluation(flywheel):
    report.main(ARGUMENTS.split())
    with open(flywheel / "data/report/pairs.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(flywheel_files.pairs()) * len(flywheel_files.SETS)
    stored = read_json(flywheel / "metrics/evaluate/2.json")["sets"]["relations"]
    (row,) = (
        r
        for r in rows
        if (r["agent"], r["retriever"], r["question_set"]) == ("2", "2", "relations")
    )
    assert float(row["em"]) == stored["em"] and float(row["recall_20"]) == stored["recall"]["20"]
    with open(flywheel / "metrics/report.csv", newline="") as file:
        turns = list(csv.DictReader(file))
    assert [turn["turn"] for turn in turns] == ["0", "1", "2"]
    assert float(turns[2]["em_relations"]) == stored["em"]
    headline = json.loads((flywheel / "metrics/report.json").read_text())
    assert headline["verdict"] == "turned"
    assert headline["em"]["2"] == pytest.approx(float(turns[2]["em"]))


def test_a_paired_difference_matches_questions_by_set_and_id():
    before = [{"set": s, "id": "1", "em": v} for s, v in (("a", 0), ("b", 1))]
    after = [{"set": s, "id": "1", "em": v} for s, v in (("b", 1), ("a", 1))]
    found = difference(before, after, "em", 0, 500)
    assert found.mean == 0.5 and found.low == 0 and found.high == 1 and not found.clear


def test_cases_are_one_of_each_kind_and_do_not_depend_on_order(flywheel):
    run = results(flywheel)
    predictions = read_predictions(flywheel / "data/predictions", run)
    sides = run.pair("1", "0"), run.pair("2", "2")
    lost = predictions["2"][0]
    predictions["agent1_r0"][0]["em"], lost["em"] = 1, 0
    chosen = choose_cases(sides, predictions, 1)
    assert [case.kind for case in chosen] == ["won", "lost", "unchanged"]
    predictions["agent1_r0"].reverse()
    again = choose_cases(sides, predictions, 1)
    assert [case.before["id"] for case in again] == [case.before["id"] for case in chosen]


def test_a_turn_that_got_worse_did_not_turn(flywheel):
    assert warnings(results(flywheel)) == []
    last = read_json(flywheel / "metrics/evaluate/2.json")
    for figures in last["sets"].values():
        figures["em"], figures["searches"] = 0.1, 4.0
    write_json(flywheel / "metrics/evaluate/2.json", last)
    assert verdict(results(flywheel)) == "did not turn"


def test_signatures_that_showed_are_on_the_page(flywheel):
    shown = {"values": {}, "signatures": [], "shown": ["GAC collapse: the ratio is 0.2"]}
    write_json(flywheel / "metrics/health/2.json", shown)
    report.main(ARGUMENTS.split())
    assert "Turn 2: GAC collapse" in (flywheel / "data/report/index.html").read_text()


def test_counts_that_do_not_balance_fail_the_report(flywheel):
    counts = {"in": 90, "out": 20, "dropped": {"few": 60}, "positive_selection_rate": 0.2}
    write_json(flywheel / "metrics/pairs/2.json", counts)
    with pytest.raises(InputError, match=r"pairs of turn 2 \(90 in, 20 out, 60 dropped\)"):
        report.main(ARGUMENTS.split())


def test_a_run_without_training_is_reported(flywheel):
    params = flywheel_files.params()
    params.iterations, params.compare = {}, {"base": params.compare["base"]}
    OmegaConf.save(OmegaConf.structured(params), "params.yaml")
    report.main(ARGUMENTS.split())
    assert read_json("metrics/report.json")["verdict"] == "was not asked to turn"
    assert "was not asked to turn" in (flywheel / "data/report/index.html").read_text()


def test_figures_of_other_parameters_are_not_read(flywheel):
    write_json(flywheel / "metrics/evaluate/old.json", {"agent": "9", "retriever": "9", "sets": {}})
    assert "old" not in [pair.name for pair in results(flywheel).pairs]


def test_a_missing_file_is_named(flywheel):
    (flywheel / "metrics/evaluate/1.json").unlink()
    with pytest.raises(InputError, match=r"evaluate/1\.json"):
        report.main(ARGUMENTS.split())


def test_a_prediction_without_its_set_is_named(flywheel):
    rows = read_jsonl(flywheel / "data/predictions/1.jsonl")
    del rows[1]["set"]
    write_jsonl(flywheel / "data/predictions/1.jsonl", rows)
    with pytest.raises(InputError, match=r"1\.jsonl:2: .*'set'"):
        report.main(ARGUMENTS.split())


def test_the_summary_prints_every_turn_and_where_to_look(flywheel, capsys):
    summary.main([])
    said = capsys.readouterr().out
    for pair in results(flywheel).flywheel:
        assert f"{100 * pair.mean('em'):.1f}  {pair.mean('searches'):.2f}" in said
    assert "data/report/index.html" in said and "mlflow ui" in said
