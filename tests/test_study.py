"""A study over a pipeline of one stage: real DVC experiments, and the table that they give."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stages import study
from stages.compose import compose
from stages.errors import InputError
from stages.params import load_params
from stages.studies.contrasts import interval
from stages.studies.experiments import Finished, revision
from stages.studies.markdown import accuracy, fill, medians, pairs
from stages.studies.plan import read_study
from stages.studies.tables import accuracy_rows

ROOT = Path(__file__).parents[1]
STAGE = """
import json, pathlib, yaml
params = yaml.safe_load(open("params.yaml"))
cheap = params["mode"] == "cheap"
for folder in ("metrics/evaluate", "metrics/correctness", "metrics/pairs", "metrics/relevance"):
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
rows = []
pathlib.Path("data/predictions").mkdir(parents=True, exist_ok=True)
pathlib.Path("data/questions/test").mkdir(parents=True, exist_ok=True)
for name in "ab":
    questions = []
    for number in range(10):
        right = int(number < 5 + params["seed"] - 2 * cheap)
        query = f"Who is {name} {max(number, 1)}"  # q0 and q1 ask alike, and mean two passages
        ranked = [f"p{number}"] if number > 4 or not cheap else ["other"]
        turn = {"query": query, "ranked": ranked}
        row = {"set": name, "id": f"q{number}", "em": right, "searches": 2 + cheap}
        rows.append(row | {"turns": [turn], "supporting_ids": [[f"p{number}"]]})
        questions.append({"id": f"q{number}", "metadata": {"hops": 1 + number % 2}})
    with open(f"data/questions/test/{name}.jsonl", "w") as file:
        file.writelines(json.dumps(row) + chr(10) for row in questions)
with open("data/predictions/1.jsonl", "w") as file:
    file.writelines(json.dumps(row) + chr(10) for row in rows)
em = (5 + params["seed"] - 2 * cheap) / 10
figures = {"questions": 10, "em": em, "f1": em, "searches": 2.0 + cheap}
figures |= {"unanswered": 0.1, "found": None, "recall": {"3": 0.5}}
pair = {"agent": "1", "retriever": "1", "sets": {"a": figures, "b": figures}}
json.dump(pair, open("metrics/evaluate/1.json", "w"))
costs = {"rollouts": 3 if cheap else 30, "written_tokens": 5, "read_tokens": 7}
json.dump(costs, open("metrics/correctness/1.json", "w"))
counts = {"in": 4, "positive_selection_rate": 0.5, "instances": 2}
json.dump(counts, open("metrics/pairs/1.json", "w"))
json.dump({"uniform_share": 0.0}, open("metrics/relevance/1.json", "w"))
"""
METRICS = [f"metrics/{name}/1.json" for name in ("evaluate", "correctness", "pairs", "relevance")]
PIPELINE = {
    "stages": {
        "evaluate": {
            "cmd": f"{sys.executable} stage.py",
            "params": ["seed", "mode"],
            "outs": ["data/predictions", "data/questions"],
            "metrics": [{path: {"cache": False}} for path in METRICS],
        }
    }
}
PARAMS = """
seed: 0
mode: lazy
compare: {}
corpus: {source: elsewhere}
iterations: {"1": {previous: "0"}}
"""
STUDY = """
seeds: [0, 1]
targets: [evaluate]
variants: {full: [], no_gac: [mode=cheap]}
contrasts:
  - {name: without GAC, after: [no_gac, "1", "1"], before: [full, "1", "1"]}
  - {name: never run, after: [full, "2", "2"], before: [full, "1", "1"]}
price: [full, no_gac]
transfer: [full, no_gac]
groups: [without GAC]
"""
README = """# Title
<!-- results laptop -->
old
<!-- /results laptop -->
<!-- results laptop contrasts -->
<!-- /results laptop contrasts -->
<!-- results laptop price -->
<!-- /results laptop price -->
<!-- results laptop transfer -->
<!-- /results laptop transfer -->
<!-- results laptop groups -->
<!-- /results laptop groups -->
end
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    files = {
        "stage.py": STAGE,
        "dvc.yaml": yaml.safe_dump(PIPELINE),
        "params.yaml": PARAMS,
        "README.md": README,
    }
    files |= {"laptop.yaml": STUDY, ".gitignore": "tmp/\n"}
    for name, text in files.items():
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        for role in ("AUTHOR", "COMMITTER"):
            patch.setenv(f"GIT_{role}_NAME", "test")
            patch.setenv(f"GIT_{role}_EMAIL", "test@example.org")
        patch.setenv("DVC_NO_ANALYTICS", "1")
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        patch.chdir(folder)
        for command in ("git init -q", "dvc init -q", "git add -A", "git commit -qm start"):
            subprocess.run(command.split(), check=True)
        yield folder


def table(folder, name="laptop"):
    with open(folder / f"metrics/studies/{name}.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_study_is_run_once_and_collected_from_its_experiments(project):
    study.main(["--study", "laptop.yaml", "--variants", "no_gac", "--seeds", "1"])
    assert [row["em"] for row in table(project)] == ["0.4", "0.4"]
    assert not (project / "metrics/studies/laptop_contrasts.csv").exists(), "one side was run"
    study.main(["--study", "laptop.yaml", "--seeds", "1", "--into", "README.md"])
    rows = table(project)
    assert list(rows[0]) == [
        *("seed", "variant", "agent", "retriever", "question_set"),
        *("questions", "em", "f1", "searches", "unanswered", "found", "recall_3"),
    ]
    found = {(r["variant"], r["seed"], r["question_set"]): float(r["em"]) for r in rows}
    assert found == {
        ("full", "1", "a"): 0.6,
        ("full", "1", "b"): 0.6,
        ("no_gac", "1", "a"): 0.4,
        ("no_gac", "1", "b"): 0.4,
    }
    readme = (project / "README.md").read_text()
    assert "old" not in readme and readme.endswith("<!-- /results laptop groups -->\nend\n")
    assert "| no gac | Agent_1 + R_1 | 40.0 (40.0 to 40.0) | 3.00 | 1 |" in readme
    assert "| without GAC | -20.0 (" in readme and "never run" not in readme
    assert "| no gac | 40.0 (" in readme and "| 3 | 5 | 7 | 50 |" in readme, "price"
    assert "| agent | R_1 | R_1 (no gac) |" in readme, "transfer"
    assert fill("no marks", {"laptop": "table"}) == "no marks"
    assert not (project / "metrics/evaluate").exists(), "the working tree is left alone"
    (project / "metrics/studies/laptop.csv").unlink()
    study.main(["--study", "laptop.yaml", "--collect"])
    assert table(project) == rows


def test_contrasts_are_paired_by_seed_and_question(project):
    study.main(["--study", "laptop.yaml"])
    rows = {(r["question_set"], r["measure"]): r for r in table(project, "laptop_contrasts")}
    assert set(rows) == {(s, m) for s in ("all", "a", "b") for m in ("em", "searches")}
    em, searches = rows["all", "em"], rows["all", "searches"]
    assert (float(em["mean"]), em["seeds"], em["clear"]) == (-0.2, "2", "True")
    assert float(em["low"]) < -0.2 < float(em["high"]) < 0
    assert [float(searches[key]) for key in ("low", "mean", "high")] == [1, 1, 1]
    assert (em["after"], em["before"]) == ("no gac: Agent_1 + R_1", "Agent_1 + R_1")


def test_price_transfer_and_labels_have_tables_of_their_own(project):
    study.main(["--study", "laptop.yaml"])
    full, cheap = table(project, "laptop_price")
    assert (full["variant"], full["em"], full["rollouts"]) == ("full", "0.55", "30.0")
    assert (cheap["em"], cheap["rollouts"], cheap["written_tokens"]) == ("0.35", "3.0", "5.0")
    assert float(full["em_low"]) < 0.55 < float(full["em_high"])
    rows = {(r["retriever"], r["question_set"]): r for r in table(project, "laptop_transfer")}
    assert set(rows) == {(r, s) for r in ("1", "1:no_gac") for s in ("a", "b", "all")}
    assert rows["1", "all"]["em"] == "0.55" and rows["1:no_gac", "a"]["searches"] == "3.0"
    labels = table(project, "laptop_labels")
    assert [(r["seed"], r["variant"], r["rollouts"]) for r in labels] == [
        *(("0", "full", "30"), ("1", "full", "30")),
        *(("0", "no_gac", "3"), ("1", "no_gac", "3")),
    ]


def test_groups_say_which_questions_and_queries_gain(project):
    study.main(["--study", "laptop.yaml", "--into", "README.md"])
    rows = {row["group"]: row for row in table(project, "laptop_groups")}
    assert {name: (row["measure"], row["count"], row["of"]) for name, row in rows.items()} == {
        "1 hop": ("em", "20", "questions"),
        "2 hops": ("em", "20", "questions"),
        "ambiguous query": ("recall_3", "8", "queries"),
        "unambiguous query": ("recall_3", "32", "queries"),
    }
    assert float(rows["1 hop"]["mean"]) == pytest.approx(-0.2)
    assert float(rows["ambiguous query"]["mean"]) == -1 and rows["ambiguous query"]["clear"]
    assert float(rows["unambiguous query"]["mean"]) == -3 / 8, "q2, q3 and q4 of q2 to q9"
    readme = (project / "README.md").read_text()
    assert "| group | without GAC |" in readme
    assert "| ambiguous query: recall@3 | -100.0 (-100.0 to -100.0) |" in readme


def test_a_judges_accuracy_stands_beside_what_was_learned_from_it(project):
    finished = [Finished(e, revision(e)) for e in read_study(Path("laptop.yaml")).experiments]
    labels = [
        {"variant": name, "turn": turn, "queries": 10, "judge_exact": exact, "judge_same_side": 0.9}
        for name, exact in (("full", 0.75), ("no_gac", None))
        for turn in ("1", "2")
    ]
    (row,) = accuracy_rows(finished, labels, ["full", "no_gac"])
    assert (row["variant"], row["seeds"], row["judge_exact"]) == ("full", 2, 0.75)
    assert row["em_low"] < row["em"] == 0.55 < row["em_high"]
    (line,) = accuracy([row]).splitlines()[2:]
    assert line.startswith("| full | 75.0 | 90.0 | 10 | 55.0 (") and line.endswith(") | 2 |")


def test_an_interval_holds_both_kinds_of_chance():
    same = interval([[0.0, 1.0] * 200] * 3)
    assert same.mean == 0.5 and 0.44 < same.low < 0.5 < same.high < 0.56
    apart = interval([[0.2] * 400, [0.5] * 400, [0.8] * 400])
    assert (apart.mean, apart.median) == (pytest.approx(0.5), 0.5)
    assert apart.low == pytest.approx(0.2, abs=0.11) and apart.high == pytest.approx(0.8, abs=0.11)
    assert interval([[1.0, 1.0]]).clear and not interval([[1.0, -1.0] * 50]).clear


def test_bad_studies_are_one_clear_line(project):
    with pytest.raises(InputError, match=r"nowhere\.yaml: cannot be read"):
        study.main(["--study", "nowhere.yaml"])
    (project / "tmp").mkdir(exist_ok=True)
    bad = project / "tmp/bad.yaml"
    for text, message in (
        ("variants: 3\n", r"bad\.yaml: expected 'seeds'"),
        ("seeds: [0]\nvariants: {a: []}\nprice: [b]\n", r"bad\.yaml: has no variant 'b'"),
        ("seeds: [0]\nvariants: {a: []}\naccuracy: [b]\n", r"bad\.yaml: has no variant 'b'"),
        ("seeds: [0]\nvariants: {a: []}\ngroups: [b]\n", "'groups' names 'b', which is no"),
    ):
        bad.write_text(text)
        with pytest.raises(InputError, match=message):
            study.main(["--study", "tmp/bad.yaml"])
    (project / "tmp/other.yaml").write_text("seeds: [0]\nvariants: {a: [x=1]}\n")
    bad.write_text("seeds: [0]\nvariants: {a: []}\n")
    with pytest.raises(InputError, match=r"the variant 'a' is another one in tmp/other\.yaml"):
        study.main(["--study", "tmp/bad.yaml"])
    with pytest.raises(InputError, match="has no experiment"):
        study.main(["--study", "laptop.yaml", "--variants", "unheard"])


@pytest.mark.parametrize("path", sorted((ROOT / "conf/study").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_study_of_the_repo_composes(path, tmp_path, monkeypatch):
    """Its overrides are ones that `dvc exp run` takes, and its contrasts name pairs they have."""
    monkeypatch.chdir(ROOT)
    found = read_study(path)
    pairs = {}
    for experiment in found.experiments[:: len({e.seed for e in found.experiments})]:
        compose(tmp_path / "params.yaml", list(experiment.overrides))
        params = load_params(tmp_path / "params.yaml")
        there = {(pair.agent, pair.retriever) for pair in params.compare.values()}
        pairs[experiment.variant] = there | {(turn, turn) for turn in params.iterations}
    for contrast in found.contrasts:
        for side in (contrast.after, contrast.before):
            assert (side.agent, side.retriever) in pairs[side.variant], contrast.name


def row(seed, variant, agent, retriever, em, question_set="a"):
    return {
        "seed": seed,
        "variant": variant,
        "agent": agent,
        "retriever": retriever,
        "question_set": question_set,
        "em": em,
        "searches": 2 + em,
    }


def test_medians_are_taken_over_seeds_of_means_over_sets():
    rows = [row(s, "full", "1", "1", em) for s, em in ((0, 0.2), (1, 0.6), (2, 0.7))]
    rows += [row(s, "full", "1", "1", em, "b") for s, em in ((0, 0.4), (1, 0.6), (2, 0.9))]
    (entry,) = medians(rows)
    assert entry.em == pytest.approx(0.6) and entry.seeds == 3
    assert (entry.em_min, entry.em_max) == (pytest.approx(0.3), pytest.approx(0.8))


def test_pairs_of_the_full_method_and_own_pairs_are_shown():
    rows = [row(0, "full", "1", "bm25", 0.5), row(0, "full", "scripted", "2", 0.9)]
    rows += [row(0, "full", "1", "1", 0.6), row(0, "no_gac", "1", "0", 0.3)]
    text = pairs(rows)
    assert "| scripted agent + R_2 | 90.0 (90.0 to 90.0) | 2.90 |" in text
    assert "| full | Agent_1 + R_1 |" in text and "| no gac |" not in text
