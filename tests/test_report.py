"""The report from a made-up flywheel: figures against their files, escaping, bytes, cases."""

import base64
import csv
import hashlib
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import flywheel_files
import pytest
from chromium import dom_of
from omegaconf import OmegaConf
from rows import prediction

from stages import report
from stages.common.records import read_json, read_jsonl, write_json, write_jsonl, write_text
from stages.params import Pair
from stages.plumbing.errors import InputError
from stages.reporting.cases import choose_cases
from stages.reporting.comparisons import difference, half_iterations
from stages.reporting.health import warnings
from stages.reporting.overview import needed, sentences, verdict
from stages.reporting.page import f1_is_em
from stages.reporting.predictions import read_all_predictions
from stages.reporting.results import read_results
from stages.tools import summary

ARGUMENTS = (
    "--metrics-folder metrics --predictions data/predictions --labels data "
    "--questions data/questions/test --passages data/corpus/passages.jsonl "
    "--output data/report --metrics metrics/report.json --plots metrics/report.csv "
    "--curves metrics/curves.csv"
)


@pytest.fixture
def flywheel(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    # test_tracking.py has it
    monkeypatch.setattr("stages.tracking.rebuilding.rebuild", lambda *given: None)
    flywheel_files.write_flywheel(tmp_path)
    OmegaConf.save(OmegaConf.structured(flywheel_files.params()), "params.yaml")
    return tmp_path


def results(folder):
    return read_results(folder / "metrics", flywheel_files.params())


class Tags(HTMLParser):
    """Collects tags and text, and checks that tags close in order."""

    VOID = ("meta", "br", "input", "path", "use", "stop", "line", "rect", "circle")

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text, self.attributes = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += attrs
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
    away = {value for name, value in tags.attributes if name in ("src", "href", "action")}
    assert all(value.startswith(("#", "http://127.0.0.1:5000/#/")) for value in away)  # MLflow's
    assert "@import" not in page and "url(http" not in page
    text = " ".join(tags.text)
    for name, pair in ((p.name, p) for p in results(flywheel).pairs):
        stored = read_json(flywheel / f"metrics/evaluate/{name}.json")["sets"]
        for metrics in stored.values():
            assert f"{100 * metrics['em']:.1f}" in text and f"{metrics['searches']:.2f}" in text
        assert pair.label in text


def test_hostile_text_is_shown_and_never_run(flywheel):
    params = flywheel_files.params()
    params.report.cases_per_kind = 6
    OmegaConf.save(OmegaConf.structured(params), "params.yaml")
    report.main(ARGUMENTS.split())
    page = (flywheel / "data/report/index.html").read_text()
    tags = Tags()
    tags.feed(page)
    assert tags.seen.count("script") == 1 and not tags.open
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    assert "alert" not in script
    assert not [name for name, _ in tags.attributes if name.startswith("on") or name == "src"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = dict(tags.attributes)["content"]
    assert policy.endswith(f"script-src 'sha256-{digest}'") and "default-src 'none'" in policy
    assert flywheel_files.HOSTILE in " ".join(tags.text)


def test_a_hostile_name_of_a_question_set_stays_in_its_attribute(flywheel):
    name = '"><script>alert(1);"'
    questions = flywheel / "data/questions/test/relations.jsonl"
    questions.rename(questions.with_name(f"{name}.jsonl"))
    for path in sorted((flywheel / "metrics/evaluate").glob("*.json")):
        row = read_json(path)
        row["sets"][name] = row["sets"].pop("relations")
        write_json(path, row)
        path = flywheel / f"data/predictions/{path.stem}.jsonl"
        named = {"relations": name}
        rows = [r | {"set": named.get(r["set"], r["set"])} for r in read_jsonl(path)]
        write_jsonl(path, rows)
    report.main(ARGUMENTS.split())
    tags = Tags()
    tags.feed((flywheel / "data/report/index.html").read_text())
    assert tags.seen.count("script") == 1 and ("value", name) in tags.attributes


HARNESS = """<iframe src="data/report/index.html"></iframe><pre></pre><script>
document.querySelector("iframe").onload = (event) => {
  const page = event.target.contentDocument, form = page.getElementById("case-filter");
  const said = [form.querySelector("output").textContent];
  for (const [name, value] of [["kind", "won"], ["hops", "3"], ["words", "QUESTION nowhere"]]) {
    form.elements[name].value = value;
    form.dispatchEvent(new Event("input"));
    said.push(form.querySelector("output").textContent);
  }
  document.querySelector("pre").textContent = said.join("|");
};
</script>"""


def test_the_filter_works_under_the_policy_of_the_page(flywheel, browser):
    params = flywheel_files.params()
    params.report.cases_per_kind = 6
    OmegaConf.save(OmegaConf.structured(params), "params.yaml")
    report.main(ARGUMENTS.split())
    page = (flywheel / "data/report/index.html").read_text()
    cases = re.findall(r'<details data-kind="(\w+)" data-set="\w+" data-hops="(\d)">', page)
    won = [hops for kind, hops in cases if kind == "won"]
    counts = [len(cases), len(won), won.count("3"), 0]
    (flywheel / "harness.html").write_text(HARNESS)
    dom = dom_of(browser, flywheel, "harness.html")
    said = "|".join(f"{count} of {len(cases)} shown" for count in counts)
    assert f"<pre>{said}</pre>" in dom and 0 < counts[2] < counts[1] < counts[0]


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
        plotted = list(csv.DictReader(file))
    iterations = [row for row in plotted if row["iteration"]]
    assert [row["iteration"] for row in iterations] == ["0", "0", "1", "1", "2", "2"]
    assert (iterations[-1]["set"], iterations[-1]["pair"]) == ("relations", "Agent_2 + R_2")
    assert float(iterations[-1]["em"]) == stored["em"]
    assert {row["pair"] for row in plotted if not row["iteration"]} == {
        *("Agent_1 + BM25", "Agent_1 + R_0", "Agent_2 + R_1")
    }
    headline = json.loads((flywheel / "metrics/report.json").read_text())
    assert headline["verdict"] == "turned"
    mean = sum(float(row["em"]) for row in iterations if row["iteration"] == "2") / 2
    assert headline["em"]["2"] == pytest.approx(mean)
    with open(flywheel / "metrics/curves.csv", newline="") as file:
        curves = list(csv.DictReader(file))
    with open(flywheel / "metrics/agent/2.csv", newline="") as file:
        second = list(csv.DictReader(file))
    drawn = [(row["step"], row["reward"]) for row in curves if row["iteration"] == "2"]
    assert [(float(s), float(r)) for s, r in drawn] == [
        (float(row["step"]), float(row["reward"])) for row in second
    ]


def test_hop_recall_is_left_out_where_gold_passages_have_no_order(flywheel):
    path = flywheel / "data/questions/test/relations.jsonl"
    rows = read_jsonl(path)
    rows[0]["metadata"]["supporting_titles"] = ["Title 1"]
    write_jsonl(path, rows)
    params = flywheel_files.params()
    params.report.cases_per_kind = 6
    OmegaConf.save(OmegaConf.structured(params), "params.yaml")
    report.main(ARGUMENTS.split())
    stored = read_json("metrics/evaluate/2.json")["sets"]
    first = {name: f"{100 * s['first_query_recall']['3']:.1f}" for name, s in stored.items()}
    hop = f"{100 * stored['indomain']['recall']['3']:.1f}"
    text = text_of(flywheel)
    *_, last = text.partition("First query @3")[2].split("Agent_2 + R_2", 1)
    assert re.match(rf" indomain {hop} \S+ {first['indomain']} ", last)
    assert re.search(rf" relations – – {first['relations']} ", last)
    assert "relations: no recall@k, as this data" in text
    assert "have no order (relations) are left out" in text
    assert re.search(r"gold, hop \d", text) and re.search(r"gold +\d* ?Title", text)
    with open(flywheel / "data/report/pairs.csv", newline="") as file:
        cells = [row for row in csv.DictReader(file) if row["question_set"] == "relations"]
    assert {row["recall_3"] for row in cells} == {""}
    assert (
        float(cells[-1]["first_query_recall_3"]) == stored["relations"]["first_query_recall"]["3"]
    )


def test_answers_in_passages_are_shown_beside_title_recall(flywheel):
    report.main(ARGUMENTS.split())
    assert "Answer @3" not in text_of(flywheel) and "title recall" not in text_of(flywheel)
    for path in flywheel.glob("metrics/evaluate/*.json"):
        row = read_json(path)
        for metrics in row["sets"].values():
            told = {"answer_recall": {"3": 0.125, "20": None}, "answer_found": 0.375}
            metrics |= told | {"support": "titles"}
        write_json(path, row)
    report.main(ARGUMENTS.split())
    text = text_of(flywheel)
    assert "Found Answer @3 Answer @20 Answer shown Unanswered" in text
    row = text.partition("Answer shown Unanswered")[2].split("Agent_2 + R_2", 1)[1]
    assert re.match(r" indomain title recall (\S+ ){5}12\.5 – 37\.5 ", row)
    with open(flywheel / "data/report/pairs.csv", newline="") as file:
        told = {(r["answer_recall_3"], r["answer_recall_20"]) for r in csv.DictReader(file)}
    assert told == {("0.125", "")}


def test_a_table_of_f1_is_shown_where_it_differs_from_em(flywheel):
    report.main(ARGUMENTS.split())
    assert "F1 is EM in every cell" in text_of(flywheel)
    for path in flywheel.glob("metrics/evaluate/*.json"):
        row = read_json(path)
        for metrics in row["sets"].values():
            metrics |= {"f1": 1.0, "f1_high": 1.0}
        write_json(path, row)
    run = results(flywheel)
    assert not f1_is_em(run)


def test_a_paired_difference_matches_questions_by_set_and_words():
    before = [prediction("1", set=s, em=v) for s, v in (("a", 0), ("b", 1))]
    after = [prediction("1", set=s, em=v) for s, v in (("b", 1), ("a", 1))]
    found = difference(before, after, "em")
    assert found.mean == 0.5 and found.low < 0 < found.high and not found.clear
    other = [prediction("1", set="a", em=1, question="Where?")]
    with pytest.raises(InputError, match=r"before and after were asked different .* set 'a': 2"):
        difference(before, other, "em")


def test_cases_are_one_of_each_kind_and_do_not_depend_on_order(flywheel):
    run = results(flywheel)
    predictions = read_all_predictions(flywheel / "data/predictions", run)
    sides = run.pair("1", "0"), run.pair("2", "2")
    for name, em in (("agent1_r0", 1), ("2", 0)):
        predictions[name][0] = replace(predictions[name][0], em=em)
    chosen = choose_cases(sides, predictions, 1)
    assert [case.kind for case in chosen] == ["won", "lost", "unchanged"]
    predictions["agent1_r0"].reverse()
    again = choose_cases(sides, predictions, 1)
    assert [case.before.id for case in again] == [case.before.id for case in chosen]


def test_a_question_that_is_named_is_followed_whatever_comes_of_it(flywheel):
    """A case of three hops over two films and a club, among the others."""
    run = results(flywheel)
    predictions = read_all_predictions(flywheel / "data/predictions", run)
    sides = run.pair("1", "0"), run.pair("2", "2")
    asked = "Which club of Mickey Gilley's is in the film with the star of Get Shorty?"
    plain = choose_cases(sides, predictions, 1)
    chosen = {case.before.key for case in plain}
    file = flywheel / "data/predictions/agent1_r0.jsonl"
    rows = read_jsonl(file)
    next(r for r in rows if (r["set"], r["id"]) not in chosen)["question"] = asked
    write_jsonl(file, rows)
    predictions = read_all_predictions(flywheel / "data/predictions", run)
    found = choose_cases(sides, predictions, 1, ["mickey gilley"])
    assert asked in [case.question for case in found] and len(found) == len(plain) + 1
    assert [case for case in found if case.question != asked] == plain
    assert choose_cases(sides, predictions, 0, ["Mickey Gilley"])[0].question == asked
    assert choose_cases(sides, predictions, 1, ["nobody"]) == plain


def test_sets_and_hops_take_turns_in_the_cases(flywheel):
    run = results(flywheel)
    predictions = read_all_predictions(flywheel / "data/predictions", run)
    chosen = choose_cases((run.pair("1", "0"), run.pair("2", "2")), predictions, 6)
    won = [(case.hops, case.set) for case in chosen if case.kind == "won"]
    assert won == [(hops, name) for hops in (3, 2, 1) for name in flywheel_files.SETS]


def test_an_iteration_that_got_worse_did_not_turn(flywheel):
    assert warnings(results(flywheel)) == []
    last = read_json(flywheel / "metrics/evaluate/2.json")
    for metrics in last["sets"].values():
        metrics |= {"em": 0.1, "em_low": 0.0, "em_high": 0.2, "f1": 0.1, "unanswered": 0.5}
        metrics |= {"searches": 4.0}
    write_json(flywheel / "metrics/evaluate/2.json", last)
    assert verdict(results(flywheel)) == "did not turn"


@pytest.mark.parametrize("iterations", [1, 2])
def test_a_run_that_nobody_compared_with_iteration_0_says_so(flywheel, iterations):
    params = flywheel_files.params()
    del params.compare["base"]
    if iterations == 1:
        del params.iterations["2"], params.compare["agent2_r1"]
    OmegaConf.save(OmegaConf.structured(params), "params.yaml")
    report.main(ARGUMENTS.split())
    assert read_json("metrics/report.json")["verdict"] == "was not compared with iteration 0"
    page = (flywheel / "data/report/index.html").read_text()
    assert "<title>Agentic-R: the flywheel was not compared with iteration 0</title>" in page


def text_of(folder):
    tags = Tags()
    tags.feed((folder / "data/report/index.html").read_text())
    return re.sub(r"\s+", " ", " ".join(tags.text))


def test_the_overview_says_in_three_sentences_what_came_of_it(flywheel):
    run = results(flywheel)
    predictions = read_all_predictions(flywheel / "data/predictions", run)
    steps = half_iterations(run, predictions)
    whole, halves, rest = sentences(run, steps)
    assert whole.startswith("The flywheel turned: from base agent + R_0 to Agent_2 + R_2")
    clear = [step for step in steps[:-1] if step.em.clear]
    assert f"Of 4 half iterations, {len(clear) or 'none'} changed EM clearly" in halves
    told, _, other = halves.partition("not clear: ")
    assert all((step.what in told) == step.em.clear for step in steps[:-1])
    assert all((step.what in other) != step.em.clear for step in steps[:-1])
    assert "no failure signature showed" in rest and "57 % in iteration 2" in rest
    assert "this run need" in needed(run, steps) and "asks 80." in needed(run, steps)


def test_a_half_iteration_that_changed_nothing_does_not_say_how_many_questions_it_needs(flywheel):
    for folder, kind in (("data/predictions", "jsonl"), ("metrics/evaluate", "json")):
        same = flywheel / folder
        shutil.copy(same / f"1.{kind}", same / f"agent1_r0.{kind}")
    row = read_json("metrics/evaluate/agent1_r0.json")
    write_json("metrics/evaluate/agent1_r0.json", row | {"retriever": "0"})
    report.main(ARGUMENTS.split())
    steps = read_json("metrics/report.json")["questions_needed"]
    assert steps["1-0 to 1-1"] is None
    rest = [steps[name] for name in ("0-0 to 1-0", "1-1 to 2-1", "2-1 to 2-2")]
    assert f"need {min(rest):,} to {max(rest):,} questions" in text_of(flywheel)


def test_the_json_holds_questions_needed_and_the_breakdown(flywheel):
    report.main(ARGUMENTS.split())
    headline = read_json("metrics/report.json")
    assert headline["questions_needed"].keys() == headline["steps"].keys()
    assert f"{headline['questions_needed']['0-0 to 2-2']:,}" in text_of(flywheel)
    kinds = headline["labels"]["1"]
    assert kinds["lower_grade"] == kinds["few_negatives"] == 1
    assert sum(kinds.values()) == len(flywheel_files.LABELS)
    rows = [r for r in headline["breakdown"] if (r["pair"], r["by"]) == ("2", "namesakes")]
    stored = read_jsonl(flywheel / "data/predictions/2.jsonl")
    sixes = [row["em"] for row in stored if int(row["id"]) % 2]
    assert [row["group"] for row in rows] == ["5", "6"]
    assert rows[1]["questions"] == len(sixes) and rows[1]["em"] == sum(sixes) / len(sixes)


def drift_of(folder):
    """What the drift stage counts of the flywheel's queries; the means are made up."""
    found = {}
    for iteration, name in (("0", "base"), ("1", "1"), ("2", "2")):
        rows = read_jsonl(folder / f"data/predictions/{name}.jsonl")
        queries = sum(row["searches"] for row in rows)
        own = {"queries": queries, "questions": len(rows), "words_per_query": 4.25}
        own |= {"overlap_with_question": 0.5, "distance_to_question": 0.5}
        before = {"queries_of_both_iterations": 0, "equal_to_previous_iteration": None}
        before |= {"overlap_with_previous_iteration": None, "distance_to_previous_iteration": None}
        found[iteration] = own | before
    return found


GRID = """\
variant,source,missed,false,instances,weights,input,seeds,em,em_low,em_high,searches,searches_low,\
searches_high,states
one,gac,0.0,0.0,120,none,question_query,5,0.84,0.8,0.88,2.0,1.9,2.1,1
two,visits,0.2,0.1,120,none,question_query,5,0.74,0.7,0.78,2.1,2.0,2.2,1
three,visits,0.0,0.0,,instances by reasoning,query,4,0.64,0.6,0.68,2.2,2.1,2.3,2
four,visits,0.0,0.0,,none,query,4,0.6404,0.6,0.68,2.2,2.1,2.3,1
"""


def check_grid(text, page):
    """Rows by what was learned from, columns by what is read, best and worst by printed figures."""
    assert (
        "Best: gac, 120 instances, reads question_query (84.0). Worst: visits, all instances, "
        "weights: instances by reasoning, reads query (64.0); visits, all instances, reads query "
        "(64.0)." in text
    )
    assert (
        "Labels from question_query query gac, 120 instances 84.0 best 80.0–88.0 5 seeds –" in text
    )
    assert "visits (20 % missed, 10 % false), 120 instances 74.0 70.0–78.0 5 seeds –" in text
    assert (
        "64.0 worst 60.0–68.0 instances by reasoning 4 seeds 64.0 worst 60.0–68.0 4 seeds" in text
    )
    shades = re.findall(r"var\(--curve-1\) (\d+)%", page)
    assert shades == ["45", "22", "0", "0"]
    assert "Seeds of more than one state" in text and "arena_seeds.csv says which" in text


def test_sections_are_there_only_with_their_files(flywheel):
    report.main(ARGUMENTS.split())
    assert "Studies" not in text_of(flywheel) and "Queries over iterations" not in text_of(flywheel)
    write_json(flywheel / "metrics/drift.json", drift_of(flywheel))
    studies = flywheel / "metrics/studies"
    write_text(
        studies / "laptop_contrasts.csv",
        "contrast,after,before,question_set,measure,seeds,mean,median,low,high,clear\n"
        "no_gac,no gac: Agent_1,Agent_1,all,em,3,-0.088,-0.09,-0.11,-0.06,True\n"
        "no_gac,no gac: Agent_1,Agent_1,all,searches,3,0.05,0.05,-0.01,0.11,False\n",
    )
    write_text(
        studies / "laptop_price.csv",
        "variant,seeds,em,em_low,em_high,rollouts,written_tokens,read_tokens,selection_rate\n"
        "full,3,0.86,0.84,0.88,941,20000,90000,0.8\nno_gac,3,0.77,0.75,0.79,0,0,0,0.9\n",
    )
    write_text(
        studies / "judge_accuracy.csv",
        "variant,seeds,judge_exact,judge_same_side,queries,em,em_low,em_high\n"
        "noise_20,3,0.774,0.899,382.0,0.771,0.75,0.79\n",
    )
    write_text(
        studies / "laptop_groups.csv",
        "contrast,measure,group,of,count,seeds,mean,median,low,high,clear\n"
        "both iterations,em,2 hops,questions,1125,5,0.288,0.28,0.232,0.34,True\n"
        "both iterations,em,1 hop,questions,1200,5,0.018,0.02,-0.003,0.04,False\n",
    )
    write_text(
        studies / "laptop_transfer.csv",
        "agent,retriever,question_set,seeds,em,em_low,em_high,searches,searches_low,"
        "searches_high,unanswered\nscripted,bm25,all,3,0.625,0.6,0.65,2.0,1.9,2.1,\n",
    )
    write_text(
        studies / "iterations_drift.csv",
        "seed,variant,iteration,queries,queries_of_both_iterations,words_per_query,"
        "equal_to_previous_iteration,distance_to_question,distance_to_previous_iteration,em\n"
        "0,full,0,9,0,4.5,,0.48,,0.59\n0,full,1,10,5,4.2,0.6,0.5,0.2,0.8\n"
        "1,full,1,10,5,4.4,0.8,0.6,0.3,0.9\n",
    )
    write_text(studies / "arena_grid.csv", GRID)
    report.main(ARGUMENTS.split())
    text = text_of(flywheel)
    check_grid(text, (flywheel / "data/report/index.html").read_text())
    assert "full 0 1 4.50 – 0.480 – 59.0 full 1 2 4.30 35.0 0.550 0.250 85.0" in text
    assert "-8.8 points, clear -11.0 to -6.0" in text
    assert text.count("; pilot") == text.count("The pilot, of version 0.1.0") == 1
    assert "+0.05 searches, not clear -0.01 to +0.11" in text
    assert "Pareto front" in text and "90,000" in text
    assert "scripted agent 62.5 60.0–65.0 2.00 searches" in text
    assert "noise 20 3 77.4 89.9 382 77.1 75.0–79.0" in text
    assert "both iterations 2 hops 1,125 questions 5 +28.8 clear +23.2 to +34.0" in text
    assert "both iterations 1 hop 1,200 questions 5 +1.8 not clear -0.3 to +4.0" in text
    assert "Words per query 4.25" in text


def test_labels_are_followed_on_the_page(flywheel):
    report.main(ARGUMENTS.split())
    text = text_of(flywheel)
    assert "kept: no passage of the best grade led to the right answer" in text
    assert re.search(r"5 Title 4 Text 4 .{60,90} 0\.960 80 1 positive", text)
    assert "0.930 0 – negative" in text or "0.930 0 – –" in text  # not evaluated


def test_every_signature_is_shown_with_value_and_limit(flywheel):
    row = {"name": "em_gain", "value": 0.0467, "least": 0.0, "most": None, "shows": False}
    row["meaning"] = "the iteration answers fewer questions"
    health = {"values": {}, "signatures": [row], "shown": []}
    write_json(flywheel / "metrics/health/2.json", health)
    report.main(ARGUMENTS.split())
    assert "em gain 0.0467 at least 0 no the iteration answers" in text_of(flywheel)


def test_the_page_is_light_and_says_how_to_make_it_again(flywheel):
    report.main(ARGUMENTS.split())
    assert (flywheel / "data/report/index.html").stat().st_size < 3_000_000
    text = text_of(flywheel)
    assert "python -m stages.tools.ask --agent 2 --compare 0 2 -- " in text
    assert "mlflow ui --backend-store-uri" in text and "dvc exp run -S seed=1" in text


def test_signatures_that_showed_are_on_the_page(flywheel):
    row = {"name": "selection_ratio", "value": 0.2, "least": 0.5, "most": None, "shows": True}
    row["meaning"] = "GAC collapse"
    shown = {"values": {}, "signatures": [row], "shown": ["GAC collapse: the ratio is 0.2"]}
    write_json(flywheel / "metrics/health/2.json", shown)
    report.main(ARGUMENTS.split())
    assert "Iteration 2: GAC collapse" in (flywheel / "data/report/index.html").read_text()


def test_a_signature_of_development_sets_says_so_once(flywheel):
    told = "the iteration answers fewer questions (development sets)"
    said = f"{told}: em_gain is -0.03, the limit is at least 0"
    row = {"name": "em_gain", "value": -0.03, "least": 0.0, "most": None, "shows": True}
    row["meaning"] = told
    write_json(
        flywheel / "metrics/health/2.json", {"values": {}, "signatures": [row], "shown": [said]}
    )
    metrics = read_json(flywheel / "metrics/evaluate/2.json")
    write_json(flywheel / "metrics/evaluate/2.json", metrics | {"development": metrics["sets"]})
    report.main(ARGUMENTS.split())
    assert f"Iteration 2: {said}." in text_of(flywheel)


def test_limits_that_told_are_on_the_page(flywheel):
    report.main(ARGUMENTS.split())
    assert "What limits cut" not in text_of(flywheel)
    file = flywheel / "metrics/trajectories/1.json"
    metrics = json.loads(file.read_text()) | {"limits": {"cut": 3, "refused": 2, "lost": 0}}
    file.write_text(json.dumps(metrics))
    report.main(ARGUMENTS.split())
    page = text_of(flywheel)
    assert "Iteration 1: 3 observations were cut, of 7 searches; 2 turns were refused, in" in page
    assert "lost to a full" not in page


def test_counts_that_do_not_balance_fail_the_report(flywheel):
    counts = read_json(flywheel / "metrics/pairs/2.json") | {"in": 90}
    write_json(flywheel / "metrics/pairs/2.json", counts)
    said = r"pairs/2\.json: counts do not balance \(90 in, 4 out, 3 dropped\)"
    with pytest.raises(InputError, match=said):
        report.main(ARGUMENTS.split())


def test_a_run_without_training_is_reported(flywheel):
    params = flywheel_files.params()
    params.iterations, params.compare = {}, {"base": params.compare["base"]}
    OmegaConf.save(OmegaConf.structured(params), "params.yaml")
    report.main(ARGUMENTS.split())
    assert read_json("metrics/report.json")["verdict"] == "was not asked to turn"
    assert "was not asked to turn" in (flywheel / "data/report/index.html").read_text()


def test_a_run_without_a_flywheel_is_reported(flywheel):
    params = flywheel_files.params()
    params.iterations, params.compare = {}, {"bm25": Pair("0", "bm25")}
    row = read_json("metrics/evaluate/agent1_bm25.json")
    write_json("metrics/evaluate/bm25.json", row | {"agent": "0"})
    shutil.copy("data/predictions/agent1_bm25.jsonl", "data/predictions/bm25.jsonl")
    OmegaConf.save(OmegaConf.structured(params), "params.yaml")
    report.main(ARGUMENTS.split())
    with open(flywheel / "metrics/report.csv", newline="") as file:
        assert {(row["iteration"], row["pair"]) for row in csv.DictReader(file)} == {
            ("", "base agent + BM25")
        }
    assert (flywheel / "metrics/curves.csv").read_text().startswith("iteration,step,reward,em")


@pytest.mark.parametrize("name", ["all", "mean"])
def test_a_question_set_called_as_the_tables_call_them_all_is_an_error(flywheel, name):
    row = read_json("metrics/evaluate/2.json")
    row["sets"][name] = row["sets"].pop("relations")
    write_json("metrics/evaluate/2.json", row)
    with pytest.raises(InputError, match=rf"evaluate/2\.json: a question set is called '{name}'"):
        report.main(ARGUMENTS.split())


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


def test_the_summary_prints_every_iteration_and_where_to_look(flywheel, capsys):
    summary.main([])
    said = capsys.readouterr().out
    for pair in results(flywheel).flywheel:
        assert f"{100 * pair.mean('em'):.1f}  {pair.mean('searches'):.2f}" in said
        for part in pair.sets.values():
            assert f"{100 * part.em_low:.1f}–{100 * part.em_high:.1f}" in said
    assert max(len(line) for line in said.splitlines() if line.startswith("│")) <= 80
    assert (
        "data/report/index.html" in said
        and "mlflow ui" in said
        and "Experiments, agentic-r" in said
    )
