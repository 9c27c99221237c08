"""A study over a pipeline of one stage: real DVC experiments, and the table that they give."""

import csv
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from rows import prediction
from scipy import stats

from stages.common.candidates import Query, QueryCandidates
from stages.common.search import SearchRequest
from stages.composing.compose import compose
from stages.evaluation.blocks import evaluation_protocol, evaluation_rollout
from stages.evaluation.intervals import nested
from stages.params import load_params
from stages.plumbing.errors import InputError
from stages.reporting.study_rows import ContrastResult, LabelRow, PairRow, as_table
from stages.studies import experiments, kept
from stages.studies.contrasts import both_answered, contrast_rows, measured
from stages.studies.experiments import Finished, revision, run_experiment
from stages.studies.groups import Group, gap_sample, group_rows
from stages.studies.markdown import accuracy, claims, fill, medians, pairs
from stages.studies.plan import Contrast, Experiment, Side, Study, read_study
from stages.studies.power import power, seed_variance, seeds_needed
from stages.studies.samples import Sample, interval
from stages.studies.seeds import seed_table
from stages.studies.states import Made, code_of, state_of
from stages.studies.tables import _judge_accuracy, accuracy_rows, costs
from stages.tools import study

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
        turn = {"text": "", "token_ids": [], "thought": "", "query": query, "passages": []}
        turn |= {"information": "", "ranked": ranked}
        row = {"set": name, "id": f"q{number}", "golden_answers": ["a"]}
        row |= {"question": f"Who was {number} in {params['seed']}?"}
        row |= {"turns": [turn], "answer": None, "em": right, "f1": 0.0, "searches": 2 + cheap}
        rows.append(row | {"stop": "answer", "supporting_ids": [[f"p{number}"]]})
        questions.append({"id": f"q{number}", "metadata": {"hops": 1 + number % 2}})
    with open(f"data/questions/test/{name}.jsonl", "w") as file:
        file.writelines(json.dumps(row) + chr(10) for row in questions)
with open("data/predictions/1.jsonl", "w") as file:
    file.writelines(json.dumps(row) + chr(10) for row in rows)
em = (5 + params["seed"] - 2 * cheap) / 10
figures = {"questions": 10}
for key, value in (("em", em), ("f1", em), ("searches", 2.0 + cheap)):
    figures |= {key: value, key + "_low": value, key + "_high": value}
figures |= {"unanswered": 0.1, "found": None, "recall": {"3": 0.5}}
figures |= {"first_query_recall": {"3": None}}
pair = {"agent": "1", "retriever": "1", "sets": {"a": figures, "b": figures}}
json.dump(pair, open("metrics/evaluate/1.json", "w"))
counts = {"in": 4, "out": 4, "dropped": {}}
costs = counts | {"rollouts": 3 if cheap else 30, "written_tokens": 5, "read_tokens": 7}
json.dump(costs, open("metrics/correctness/1.json", "w"))
pairs = {"in": 4, "out": 2, "dropped": {"few_negatives": 2}}
pairs |= {"positive_selection_rate": 0.5, "instances": 2}
json.dump(pairs, open("metrics/pairs/1.json", "w"))
json.dump(counts | {"uniform_share": 0.0}, open("metrics/relevance/1.json", "w"))
moved = {"queries": 10, "questions": 9, "words_per_query": 4.0 + params["seed"]}
moved |= {"overlap_with_question": 0.5, "distance_to_question": 0.25}
moved |= {"queries_of_both_iterations": 8, "equal_to_previous_iteration": 0.5}
moved |= {"overlap_with_previous_iteration": 0.5}
json.dump({"1": moved | {"distance_to_previous_iteration": 0.5}}, open("metrics/drift.json", "w"))
"""
METRICS = [f"metrics/{name}/1.json" for name in ("evaluate", "correctness", "pairs", "relevance")]
METRICS.append("metrics/drift.json")
PIPELINE = {
    "stages": {
        "evaluate": {
            "cmd": f"{sys.executable} stages/stage.py",
            "deps": ["stages/stage.py"],
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
questions: {source: stages/world}
iterations: {"1": {previous: "0"}}
"""
STUDY = """
seeds: [0, 1]
targets: [evaluate]
variants: {full: [], no_gac: [mode=cheap]}
contrasts:
  - {name: without GAC, after: [no_gac, "1", "1"], before: [full, "1", "1"]}
  - {name: never run, after: [full, "2", "2"], before: [full, "1", "1"]}
claims: [without GAC, never run]
price: [full, no_gac]
transfer: [full, no_gac]
groups: [without GAC]
drift: [full]
"""
README = """# Title
<!-- results laptop -->
stale
<!-- /results laptop -->
<!-- results laptop contrasts -->
<!-- /results laptop contrasts -->
<!-- results laptop price -->
<!-- /results laptop price -->
<!-- results laptop transfer -->
<!-- /results laptop transfer -->
<!-- results laptop groups -->
<!-- /results laptop groups -->
<!-- results laptop drift -->
<!-- /results laptop drift -->
<!-- results laptop accuracy -->
stale
<!-- /results laptop accuracy -->
end
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    files = {
        "stages/stage.py": STAGE,
        "dvc.yaml": yaml.safe_dump(PIPELINE),
        "params.yaml": PARAMS,
        "README.md": README,
    }
    files |= {"laptop.yaml": STUDY, ".gitignore": "tmp/\n"}
    (folder / "stages").mkdir()
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


def test_a_study_is_run_once_and_collected_from_its_experiments(project, capsys):
    former = project / "metrics/studies/laptop_contrasts.csv"
    former.parent.mkdir(parents=True)
    former.write_text("of a former state\n")
    study.main(["--study", "laptop.yaml", "--variants", "no_gac", "--seeds", "1"])
    assert [row["em"] for row in table(project)] == ["0.4", "0.4"]
    assert not former.exists(), "one side was run"
    into = ["README.md", "tmp/unmarked.md"]
    with pytest.raises(InputError, match=r"tmp/unmarked\.md: cannot be read"):
        study.main(["--study", "laptop.yaml", "--seeds", "1", "--into", *into])
    assert all(row["variant"] == "no_gac" for row in table(project)), "told before anything ran"
    (project / "tmp").mkdir(exist_ok=True)
    (project / "tmp/unmarked.md").write_text("no marks")
    capsys.readouterr()
    study.main(["--study", "laptop.yaml", "--seeds", "1", "--into", *into])
    said = capsys.readouterr().err
    assert "README.md: filled laptop, laptop contrasts, laptop price" in said
    assert "tmp/unmarked.md: filled nothing" in said
    rows = table(project)
    assert list(rows[0]) == [
        *("seed", "commit", "state", "variant", "agent", "retriever", "question_set"),
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
    assert "stale" not in readme and readme.endswith("<!-- /results laptop accuracy -->\nend\n")
    assert "All seeds share one base agent and one judge" in readme
    assert "No experiment has such figures yet." in readme
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
    assert (float(em["mean"]), em["seeds"], em["claim"]) == (-0.2, "2", "True")
    assert float(em["low"]) < -0.2 < float(em["high"]), "equal seeds: their questions tell"
    assert float(em["p_adjusted"]) == pytest.approx(2 * float(em["p"]), abs=2e-6), "of two claims"
    assert rows["a", "em"]["claim"] == "False" and not rows["a", "em"]["p_adjusted"]
    assert [float(searches[key]) for key in ("low", "mean", "high", "p")] == [1, 1, 1, 0]
    assert (searches["claim"], searches["clear"]) == ("False", "True"), "exploratory"
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


def test_no_gac_costs_nothing_and_what_was_not_counted_is_not_nothing():
    assert costs({"in": 3}) == {"rollouts": 0, "written_tokens": 0, "read_tokens": 0}
    assert costs({"rollouts": 3}) == {"rollouts": 3, "written_tokens": None, "read_tokens": None}


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
    table = seed_table(Study("x", [], [], accuracy=("full", "no_gac")), finished, Path("x"))
    nothing = dict.fromkeys(column.name for column in fields(LabelRow))
    graded = {"queries": 10, "judge_same_side": 0.9}
    labels = [
        LabelRow(
            **nothing
            | graded
            | {"seed": seed, "variant": name, "iteration": iteration, "judge_exact": exact}
        )
        for seed in (0, 1)
        for name, exact in (("full", 0.75), ("no_gac", None))
        for iteration in ("1", "2")
    ]
    (row,) = accuracy_rows(table, labels, ["full", "no_gac"])
    assert (row.variant, row.seeds, row.judge_exact) == ("full", 2, 0.75)
    assert row.em_low < row.em == 0.55 < row.em_high
    (line,) = accuracy([row]).splitlines()[2:]
    assert line.startswith("| full | 75.0 | 90.0 | 10 | 55.0 (") and line.endswith(") | 2 |")


def sample(values, seed=0, chains=None):
    """One seed's questions, each of a chain of its own unless told."""
    questions = [(seed, number) for number in range(len(values))]
    return Sample(list(values), chains or questions, questions)


def test_an_interval_is_that_of_its_design():
    halves = [0.0, 1.0] * 200
    same = interval([sample(halves, seed) for seed in range(3)])
    assert same.mean == 0.5 and same.question_error == pytest.approx(0.025, abs=1e-3)
    assert 0.42 < same.low < 0.46 and 0.54 < same.high < 0.58, "equal by chance: questions tell"
    apart = interval([sample([value] * 400, seed) for seed, value in enumerate((0.2, 0.5, 0.8))])
    assert (apart.mean, apart.median) == (pytest.approx(0.5), 0.5)
    assert apart.spread == pytest.approx(0.3) and apart.question_error == 0
    assert apart.low < -0.2 and apart.high > 1.2, "t of three seeds"
    assert apart.low == pytest.approx(nested([0.2, 0.5, 0.8]).bounds()[0])
    fixed = interval([sample(halves) for _ in range(3)])
    alone = interval([sample(halves)])
    assert fixed.high - fixed.low == pytest.approx(alone.high - alone.low, rel=1e-3), "one test set"
    one = interval([sample([1.0, -1.0] * 50)])
    assert not one.clear and interval([sample([1.0, 1.0])]).clear
    chains = [number // 2 for number in range(400)]
    pairs = interval([sample(halves[::2] + halves[1::2], chains=chains)])
    assert pairs.high - pairs.low == pytest.approx(2**0.5 * 4 * one.question_error / 2, rel=0.9)
    with pytest.raises(InputError, match="one seed needs two questions"):
        interval([sample([1.0, 0.0], chains=[1, 1])])


def test_questions_that_two_worlds_share_by_chance_cross_nothing():
    seeds = [sample([0.0, 1.0] * 50, seed) for seed in range(3)]
    for seed in seeds:
        seed.questions[0] = "Where was the author of the book Hopox Vihoq born?"
    seeds[0].values[:] = [1.0] * 100
    assert interval(seeds).low == pytest.approx(nested([1.0, 0.5, 0.5]).bounds()[0])


def test_sides_that_were_asked_other_questions_are_refused():
    new, old = (given(name, [("a", 1)], [("b", 1)]) for name in ("new", "old"))
    old.predictions("1")[1].golden_answers = ["another"]
    with pytest.raises(
        InputError, match=r"1 of old-seed0 and 1 of new-seed0 were asked different .* set 's': 2"
    ):
        contrasted(new, old)
    old.predictions("1").reverse()
    old.predictions("1")[0].golden_answers = ["a"]
    first, second = old.predictions("1")
    first.id, second.id = "q0", "q1"
    first.question = new.predictions("1")[1].question = "Where?"
    second.em = 0
    rows = contrasted(new, old)
    assert rows[0].mean == 0.5, "the order and the ids are another's, the questions are not"
    (found,) = contrast_pairs(new, old, "Where?")
    assert [row.question for row in found] == ["Where?"] * 2


def contrast_pairs(new, old, question):
    pairs = both_answered(GAIN, {"new": new, "old": old})
    return [rows for rows in pairs if rows[0].question == question]


def files(folder, name="laptop"):
    """The study's tables, by file."""
    return {f.name: f.read_text() for f in sorted(folder.glob(f"metrics/studies/{name}*.csv"))}


def test_tables_are_made_again_from_what_is_kept(project, capsys):
    study.main(["--study", "laptop.yaml"])
    folder = project / "metrics/studies"
    whole = files(project)
    for name in ("contrasts", "price", "transfer", "groups"):
        (folder / f"laptop_{name}.csv").unlink()
    study.main(["--study", "laptop.yaml", "--kept"])
    assert files(project) == whole
    seeds = (folder / "laptop_seeds.csv").rename(project / "tmp/seeds.csv")
    capsys.readouterr()
    study.main(["--study", "laptop.yaml", "--kept", "--into", "README.md"])
    assert "laptop_seeds.csv: not there, so the tables stay" in capsys.readouterr().err
    assert "| without GAC | -20.0 (" in (project / "README.md").read_text()
    seeds.rename(folder / "laptop_seeds.csv")
    assert files(project) == whole
    pairs = (folder / "laptop.csv").rename(project / "tmp/laptop.csv")
    with pytest.raises(InputError, match=r"laptop\.csv: not there; run the study"):
        study.main(["--study", "laptop.yaml", "--kept"])
    pairs.rename(folder / "laptop.csv")


def test_another_clone_goes_on_with_a_study(project, tmp_path, monkeypatch, capsys):
    study.main(["--study", "laptop.yaml"])
    whole = files(project)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", project, clone], check=True)
    monkeypatch.chdir(clone)
    shutil.copytree(project / "metrics/studies", "metrics/studies")
    for path in Path("metrics/studies").glob("*.csv"):  # what a study of seed 0 alone leaves
        lines = path.read_text().splitlines(keepends=True)
        kept = [line for line in lines[1:] if line.startswith("0,")]
        path.write_text("".join([lines[0], *kept])) if kept else path.unlink()
    (pairs := Path("metrics/studies/laptop.csv")).write_text(
        pairs.read_text() + pairs.read_text().splitlines(keepends=True)[-1].replace("0", "7", 1)
    )
    study.main(["--study", "laptop.yaml", "--seeds", "1"])
    said = capsys.readouterr().err
    assert "2 of 4 experiments are in the tables\n2 more" in said
    assert "1 kept rows are of seeds, variants or contrasts that laptop.yaml does not have" in said
    assert files(clone) == whole, "as one clone alone"
    study.main(["--study", "laptop.yaml", "--seeds", "1"])
    assert files(clone) == whole, "the rows of a seed that is there again are replaced"

    code = Path("stages/stage.py")
    code.write_text(code.read_text().replace("figures = {", "figures = {  # of another state\n"))
    subprocess.run(["git", "commit", "-qam", "other code"], check=True)
    with pytest.raises(InputError, match=r"laptop_seeds\.csv: has rows of another state .*seeds 0"):
        study.main(["--study", "laptop.yaml", "--seeds", "1"])
    assert not revision(read_study(Path("laptop.yaml")).experiments[1]), "told before it runs"
    shutil.copy(project / "README.md", "README.md")
    study.main(["--study", "laptop.yaml", "--seeds", "1", "--join", "--into", "README.md"])
    rows = {(r["question_set"], r["measure"]): r for r in table(clone, "laptop_contrasts")}
    assert rows["all", "em"]["states"] == rows["all", "em"]["seeds"] == "2"
    readme = Path("README.md").read_text()
    (told,) = {line for line in readme.splitlines() if line.startswith("States of code")}
    assert "(seeds 0); state" in told and told.endswith("(seeds 1).")
    with pytest.raises(InputError, match=r"--join keeps both.* --replace leaves"):
        study.main(["--study", "laptop.yaml", "--collect"])
    study.main(["--study", "laptop.yaml", "--collect", "--replace"])
    assert {row["seed"] for row in table(clone)} == {"1"}
    study.main(["--study", "laptop.yaml", "--collect"])


def test_a_state_is_of_all_that_decides_results_but_the_seed(project, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(project, tmp_path / "copy"))
    found = {e.name: Finished(e, revision(e)) for e in read_study(Path("laptop.yaml")).experiments}
    made = {name: one.made.state for name, one in found.items()}
    assert made["full-seed0"] == made["full-seed1"] != made["no-gac-seed0"]
    assert len({state.partition("-")[0] for state in made.values()}) == 1
    full = found["full-seed0"]
    lock, params = full._text("dvc.lock"), full.params
    assert state_of(full.commit, params, lock, False) == made["full-seed0"]
    assert state_of(full.commit, params | {"compute": 3}, lock, False) == made["full-seed0"]
    outside = "    deps:\n    - path: prompt.yaml\n      md5: {}\n"
    changed = {lock.replace("    deps:\n", outside.format(n), 1) for n in ("a", "b")}
    assert len({state_of(full.commit, params, text, False) for text in changed}) == 2
    made = lock.replace("    deps:\n", "    deps:\n    - path: data\n      md5: a\n", 1)
    assert made != lock and state_of(full.commit, params, made, False) == full.made.state

    def code(path, text):
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(text)
        subprocess.run(["git", "add", path], check=True)
        subprocess.run(["git", "commit", "-qm", path], check=True)
        return code_of(experiments.head())

    start = code_of(experiments.head())
    assert code("docs.md", "words") == code("stages/other.py", "no stage lists it") == start
    described = PIPELINE["stages"]["evaluate"] | {"desc": "words"}
    report = {"cmd": "python -m stages.report", "deps": ["stages/other.py"]}
    both = {"stages": {"evaluate": described, "report": report}}
    assert code("dvc.yaml", yaml.safe_dump(both)) == start
    other = code("requirements/laptop.txt", "torch==3")
    assert other != start and code("stages/stage.py", STAGE + "# x") not in (start, other)


def test_halves_of_a_study_joined_are_the_study(tmp_path):
    """Means, spreads and errors over fact chains, through files, with sides that miss a seed."""
    draw, kinds = np.random.default_rng(3), ("new", "old")
    whole = []
    for seed in range(6):
        for variant in kinds[: 1 if seed == 4 else 2]:
            one = given(variant, *[[("a", 1)]] * 40, hops=[1, 2] * 20)
            for number, row in enumerate(one.predictions("1")):
                row.question, row.set = f"Who is {number} of {seed}?", "st"[number % 2]
                row.supporting_ids = [[f"p{number // 3}"]]
                row.em, row.searches = int(draw.integers(2)), int(draw.integers(1, 5))
            questions = one.files.pop("data/questions/test/s.jsonl")
            one.files.update({f"data/questions/test/{name}.jsonl": questions for name in "st"})
            whole.append(replace(one, experiment=Experiment(variant, seed, ())))
    asked = Study(
        "halves",
        [one.experiment for one in whole],
        [GAIN],
        price=kinds,
        groups=("gain",),
        claims=("gain",),
    )
    here = made_of(asked, whole, tmp_path)
    first = made_of(asked, [one for one in whole if one.experiment.seed < 3], tmp_path)
    study.write_tables(asked, first.tables, tmp_path, first.samples)
    rest = made_of(asked, [one for one in whole if one.experiment.seed > 2], tmp_path)
    both = kept.join_rows(asked, kept.kept_tables(asked, tmp_path), rest.tables)
    found = [
        study.over_seeds(asked, tables, tmp_path, samples)
        for tables, samples in ((here.tables, here.samples), (both, rest.samples))
    ]
    assert found[0] == found[1]
    claim, *others = found[0]["contrasts"]
    assert (claim.seeds, claim.claim, len(others)) == (5, True, 5)
    assert claim.question_error and claim.spread and claim.question_error != others[0].spread
    assert [row.seeds for row in found[0]["price"]] == [6, 5]
    assert {row.group for row in found[0]["groups"]} >= {"1 hop", "2 hops"}
    assert kept.mixed_states(both) == "" and not kept.of_other_states(first.tables, rest.tables)
    one = replace(whole[0], experiment=Experiment("new", 9, ()))
    shared = kept.join_rows(asked, both, made_of(asked, [one], tmp_path).tables)
    with pytest.raises(InputError, match=r"the seeds 0 and 9 were asked the same questions \(of"):
        study.over_seeds(asked, shared, tmp_path / "halves_seeds.csv", {})
    crossed = [replace(one, experiment=Experiment("new", n, ())) for n in (7, 8)]
    alone = made_of(asked, crossed, tmp_path)
    (level, _) = study.over_seeds(asked, alone.tables, tmp_path, alone.samples)["price"], None
    assert level[0].seeds == 2, "all experiments are here"


def made_of(asked, finished, folder):
    """What a study collects, of objects that have labels of their own."""
    labels = [
        LabelRow(
            seed=one.experiment.seed,
            **vars(one.made),
            variant=one.experiment.variant,
            iteration="1",
            queries=4 + one.experiment.seed,
            **dict.fromkeys(("selection_rate", "judge_exact", "judge_same_side"), 0.5),
            **dict.fromkeys(("instances", "rollouts", "written_tokens", "read_tokens"), 3),
            uniform_share=None,
        )
        for one in finished
    ]
    pairs = [
        PairRow(
            seed=one.experiment.seed,
            **vars(one.made),
            **{"variant": one.experiment.variant, "agent": "1", "retriever": "1"},
            **{"question_set": "s", "questions": 40, "em": 0.5, "f1": 0.5, "searches": 1.0},
            **{"unanswered": 0.0, "found": None, "recall": {"3": 0.25}},
        )
        for one in finished
    ]
    seeds = seed_table(asked, finished, folder)
    tables = {"": pairs, "labels": labels, "seeds": seeds.rows, "drift": []}
    return study.Fresh(tables, seeds.samples)


def test_power_tells_what_claims_need(project, capsys):
    study.main(["--study", "laptop.yaml"])
    capsys.readouterr()
    study.main(["--study", "laptop.yaml", "--power"])
    said = capsys.readouterr().out
    assert "p < 0.0250 (0.05 over 2 claims)" in said
    (line,) = [line for line in said.splitlines() if line.startswith("without GAC")]
    assert line.split()[2:5] == ["-20.0", "0.0", "all"], "equal seeds: questions explain it all"


def test_seeds_are_counted_as_a_table_of_power_has_them():
    """A paired t test sees an effect of one standard deviation at 5 % in four of five: 10."""
    assert seeds_needed(1.0, 1.0, 0.05) == 10
    assert seeds_needed(0.5, 1.0, 0.05) == 34
    found, theirs = power(1.0, 1.0, 4, 0.05), stats.nct.sf(stats.t.ppf(0.975, 3), 3, 2.0)
    assert found == pytest.approx(theirs, abs=2e-3), "the other side is next to nothing"
    assert seeds_needed(0.01, 1.0, 0.05) is None and seeds_needed(0.0, 0.0, 0.05) is None
    assert seed_variance(0.03, 0.02, 4) == pytest.approx(0.0005 + 0.0001)
    assert seed_variance(0.02, 0.03, 2) == pytest.approx(0.0002), "questions explain at most all"


def test_drift_stands_beside_em_of_the_iteration(project):
    study.main(["--study", "laptop.yaml", "--into", "README.md"])
    rows = table(project, "laptop_drift")
    assert [(r["seed"], r["variant"], r["iteration"], r["em"]) for r in rows] == [
        ("0", "full", "1", "0.5"),
        ("1", "full", "1", "0.6"),
    ]
    assert list(rows[0])[5:] == [
        *("queries", "questions", "words_per_query", "overlap_with_question"),
        *("distance_to_question", "queries_of_both_iterations", "equal_to_previous_iteration"),
        *("overlap_with_previous_iteration", "distance_to_previous_iteration", "em"),
    ]
    readme = (project / "README.md").read_text()
    assert "| full | 1 | 4.50 | 40.0 | 0.250 | 0.500 | 55.0 | 2 |" in readme


def test_no_experiment_takes_uncommitted_code_along(project):
    code = project / "stages/stage.py"
    code.write_text(STAGE + "# changed\n")
    (project / "tmp/more.yaml").write_text("seeds: [0]\nvariants: {more: [mode=cheap]}\n")
    with pytest.raises(InputError, match=r"stages/stage\.py: not as in the commit that more-seed0"):
        study.main(["--study", "tmp/more.yaml"])
    study.main(["--study", "laptop.yaml"])  # all is there, and nothing runs
    code.write_text(STAGE)


def test_an_experiment_that_changes_nothing_is_found_again(project, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(project, tmp_path / "copy"))
    for command in ("dvc repro -q", "git add -A", "git commit -qm run"):
        subprocess.run(command.split(), check=True)
    same = Experiment("same", 0, (), ("evaluate",))
    experiments.run_experiment(same)
    assert revision(same)


def test_a_fresh_clone_takes_stages_from_the_cache_of_its_runs(tmp_path, monkeypatch):
    copy = "from pathlib import Path; Path('{}').write_text(Path('{}').read_text())"
    folder = "from pathlib import Path; Path('made').mkdir(); Path('made/a').write_text('${seed}')"
    stages = {
        "begin": {"cmd": copy.format("begun", "code"), "deps": ["code"], "outs": ["begun"]},
        "make": {"cmd": folder, "deps": ["begun"], "params": ["seed"], "outs": ["made"]},
        "use": {"cmd": copy.format("used", "made/a"), "deps": ["made/a"], "outs": ["used"]},
        "end": {"cmd": copy.format("ended", "used"), "deps": ["used"], "outs": ["ended"]},
    }
    stages["end"]["params"] = ["mode"]
    for stage in stages.values():
        stage["cmd"] = f'{sys.executable} -c "{stage["cmd"]}"'
    monkeypatch.chdir(tmp_path)
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "test")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@example.org")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    Path("params.yaml").write_text("seed: 0\nmode: a\n")
    Path("code").touch()
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    commands = "git init -q", "dvc init -q", "dvc repro -q", "git add -A", "git commit -qm run"
    for command in commands:
        subprocess.run(command.split(), check=True)
    for name in (".dvc/cache", ".dvc/tmp", "made"):
        shutil.rmtree(name)
    monkeypatch.setattr(experiments, "_repository", experiments._repository.__wrapped__)
    for mode in "ab":
        experiment = Experiment(seed=1, variant=mode, overrides=[f"mode={mode}"], targets=["end"])
        run_experiment(experiment)
        assert revision(experiment)


def test_a_file_that_dvc_lacks_is_named(project):
    full = read_study(Path("laptop.yaml")).experiments[0]
    one = Finished(full, revision(full))
    assert one.rows("data/predictions/1.jsonl")
    with pytest.raises(InputError, match=r"data/predictions/2\.jsonl: no output of full-seed0"):
        one.rows("data/predictions/2.jsonl")
    with pytest.raises(InputError, match="full-seed0: has no pair of agent 1 and retriever bm25"):
        measured(one, Side("full", "1", "bm25"), "em")
    digest = one._outputs["data/predictions"]
    manifest = project / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    manifest.rename(project / "tmp/manifest")
    with pytest.raises(InputError, match="data/predictions of full-seed0: not in DVC's cache"):
        one.rows("data/predictions/1.jsonl")
    (project / "tmp/manifest").rename(manifest)


@dataclass(frozen=True)
class Given(Finished):
    """An experiment of the files that a test gives."""

    files: dict = field(default_factory=dict, hash=False)
    threshold: int = 60

    @property
    def pairs(self):
        return {("1", "1"): "1"}

    made = Made("commit", "code-params")
    question_file = None

    @property
    def params(self):
        return {"corpus": {"source": "stages/world"}, "pairs": {"threshold": self.threshold}}

    def rows(self, path):
        return self.files[path]

    def predictions(self, name):
        return self.files[f"data/predictions/{name}.jsonl"]

    def candidates(self, iteration):
        return self.files[f"data/candidates/{iteration}.jsonl"]


def given(variant, *predictions, **metadata):
    """Its questions q0, q1, ... ask what `predictions` say: (query, whether it found p)."""
    rows, questions = [], []
    for number, queries in enumerate(predictions):
        turns = [{"query": q, "ranked": [f"p{number}" if found else "x"]} for q, found in queries]
        support = [[f"p{number}"]] * len(turns)
        said = {"set": "s", "em": 1, "searches": 1, "supporting_ids": support}
        rows.append(prediction(f"q{number}", *turns, **said))
        known = {key: values[number] for key, values in metadata.items()}
        questions.append({"id": f"q{number}", "metadata": known})
    files = {"data/predictions/1.jsonl": rows, "data/questions/test/s.jsonl": questions}
    return Given(Experiment(variant, 0, ()), "", files)


GAIN = Contrast("gain", Side("new", "1", "1"), Side("old", "1", "1"))


def contrasted(*finished):
    return contrast_rows([GAIN], seed_table(Study("x", [], [GAIN]), [*finished], Path("x")))


def grouped(*finished):
    study = Study("x", [], [GAIN], groups=("gain",))
    return group_rows([GAIN], seed_table(study, [*finished], Path("x")))


def test_each_side_counts_its_own_queries():
    new = given("new", [("a", 1)], [("b", 1), ("c", 0)])
    old = given("old", [("d", 0), ("e", 1), ("f", 0)], [("b", 0)])
    (found,) = grouped(new, old)
    assert (found.count, found.count_before) == (3, 4)
    assert found.mean == pytest.approx(2 / 3 - 1 / 4, abs=1e-6)


def test_supports_without_an_order_say_nothing_of_queries():
    asked, titles = [[("a", 1)], [("b", 1)]], [["A"], ["B"]]
    sides = [given(n, *asked, hops=[2, 2], supporting_titles=titles) for n in ("new", "old")]
    assert [row.group for row in grouped(*sides)] == ["2 hops"]


def test_groups_are_ordered_by_their_number():
    numbers = {"namesakes": [10, 9, 1] * 2, "hops": [2, 11, 3] * 2}
    sides = [given(name, *[[]] * 6, **numbers) for name in ("new", "old")]
    assert [row.group for row in grouped(*sides)] == [
        *("2 hops", "3 hops", "11 hops"),
        *("1 namesake", "9 namesakes", "10 namesakes"),
    ]
    with pytest.raises(
        InputError, match=r"s\.jsonl of new-seed0: 'metadata.hops' of q1 is no whole"
    ):
        grouped(*(given(name, [], [], hops=[1, "two"]) for name in ("new", "old")))


def test_the_queries_of_a_question_stand_or_fall_together():
    values = [float(number % 3 == 0) for number in range(90)]
    about = sample([0.0] * 90)
    alike = Group([(4 * value, 4, 0, 1) for value in values], about)
    assert interval([gap_sample(alike)]) == interval([sample(values)])
    sparse = Group([(1, 1, 0, 0), (0, 0, 0, 1), (0, 1, 1, 1)], sample([0.0] * 3))
    sparse = interval([gap_sample(sparse)])
    assert sparse.mean == pytest.approx(0) and sparse.low < sparse.mean < sparse.high


def test_the_interval_of_a_ratio_is_that_of_drawing_questions_again():
    draw = np.random.default_rng(0)
    sums = [
        (draw.binomial(n, 0.6), n, draw.binomial(m, 0.4), m)
        for n, m in draw.integers(1, 5, (300, 2))
    ]
    found = interval([gap_sample(Group(sums, sample([0.0] * 300)))])
    drawn = np.array(sums)[draw.integers(300, size=(2000, 300))].sum(axis=1).T
    gaps = drawn[0] / drawn[1] - drawn[2] / drawn[3]
    assert [found.low, found.high] == pytest.approx(
        list(np.percentile(gaps, [2.5, 97.5])), abs=0.01
    )


def test_a_question_set_called_all_is_refused():
    one = given("new", [("a", 1)])
    one.predictions("1")[0].set = "all"
    with pytest.raises(InputError, match="of new-seed0: a question set is called 'all'"):
        measured(one, GAIN.after, "em")


@pytest.mark.parametrize(("threshold", "same"), [(60, 0.0), (80, 1.0)])
def test_the_sides_of_a_judge_are_those_of_its_threshold(threshold, same):
    files = {
        "data/candidates/1.jsonl": [
            QueryCandidates(Query("q", "q", 0, SearchRequest("?", (), "nothing of this world")), [])
        ],
        "data/corpus/passages.jsonl": [{"id": "p", "contents": '"Title"\ntext'}],
        "data/relevance/1.jsonl": [{"id": "q", "scores": {"p": 70}, "sub_answer": None}],
    }
    one = Given(Experiment("new", 0, ()), "", files, threshold)
    assert _judge_accuracy(one, "1") == {"judge_exact": 0.0, "judge_same_side": same}


NEEDS = "seeds: [0]\nvariants: {a: []}\n"
ONE = "{name: x, after: %s, before: [a, 1, 1]}"
CONTRAST = f"{NEEDS}contrasts: [{ONE}]\n"
TWICE = f"{NEEDS}contrasts: [{ONE}, {ONE}]\n" % ("[a, 1, 1]", "[a, 1, 1]")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variants: 3\n", "expected 'seeds'"),
        ("seeds: [0]\nvariants: {a: x=1}\n", "'a' must be a list"),
        ("seeds: [0]\nvariants: {a: [1]}\n", "'a' must be a list of texts"),
        ("seeds: [0]\nvariants: {a_b: [], a-b: []}\n", "'a_b' and 'a-b' have the same names"),
        ("seeds: [0.9]\nvariants: {a: []}\n", "'seeds' must be a list of whole numbers"),
        ("seeds: [0, 0]\nvariants: {a: []}\n", "each of them once"),
        ("seeds: [-1]\nvariants: {a: []}\n", "whole numbers from 0"),
        ("variants: {a: []}\n", "'seeds' must be"),
        (NEEDS + "targets: evaluate\n", "'targets' must be a list"),
        (NEEDS + "price: [b]\n", "has no variant 'b'"),
        (NEEDS + "accuracy: [b]\n", "has no variant 'b'"),
        (NEEDS + "drift: [b]\n", "has no variant 'b'"),
        (NEEDS + "groups: [b]\n", "'groups' names 'b', which is no contrast"),
        (NEEDS + "claims: [b]\n", "'claims' names 'b', which is no contrast"),
        (CONTRAST % "[a, 1, 1]" + "claims: [x, x]\n", "'claims' names 'x' twice"),
        (NEEDS + "base_of_each_seed: 1\n", "'base_of_each_seed' must be true or false"),
        (CONTRAST % "[b, 1, 1]", "has no variant 'b'"),
        (CONTRAST % "[a, 1.5, 1]", "'contrasts' must be a list of"),
        (CONTRAST % "[a, 1]", "'contrasts' must be a list of"),
        (TWICE, "two contrasts have the same name"),
    ],
)
def test_a_bad_study_is_one_clear_line(tmp_path, text, message):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(InputError, match=rf"bad\.yaml: .*{message}"):
        read_study(tmp_path / "bad.yaml")


def test_iterations_may_be_written_as_numbers(tmp_path):
    (tmp_path / "study.yaml").write_text(CONTRAST % "[a, 2, bm25]")
    (found,) = read_study(tmp_path / "study.yaml").contrasts
    assert (found.after, found.before) == (Side("a", "2", "bm25"), Side("a", "1", "1"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variants: {a: [x=1]}\n", r"study\.yaml: the variant 'a' is another one in .*other\.yaml"),
        ("variants: {a: []}\ntargets: [b]\n", r"in .*other\.yaml, or has other targets"),
        ("variants: {a: []}\nbase_of_each_seed: true\n", "or another 'base_of_each_seed'"),
        ("variants: {a: }\n", r"other\.yaml: 'a' must be a list"),
        ("variants: [a]\n", r"other\.yaml: expected 'seeds'"),
    ],
)
def test_studies_of_one_folder_share_their_variants(tmp_path, text, message):
    (tmp_path / "study.yaml").write_text(NEEDS)
    (tmp_path / "other.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_study(tmp_path / "study.yaml")


def test_a_seed_may_have_its_own_base(tmp_path):
    (tmp_path / "own.yaml").write_text(
        "seeds: [3]\nvariants: {a: [x=1]}\nbase_of_each_seed: true\n"
    )
    found = read_study(tmp_path / "own.yaml")
    assert found.experiments[0].overrides == ("base.seed=3", "x=1")


def test_what_the_command_line_names_must_be_there(project):
    with pytest.raises(InputError, match=r"nowhere\.yaml: cannot be read"):
        study.main(["--study", "nowhere.yaml"])
    for option, known, unknown in (("variants", "full", "unheard"), ("seeds", "0", "7")):
        with pytest.raises(InputError, match=rf"laptop\.yaml: has no {unknown} \(--{option}\)"):
            study.main(["--study", "laptop.yaml", f"--{option}", known, unknown])


@pytest.mark.parametrize("path", sorted((ROOT / "conf/study").glob("*.yaml")), ids=lambda p: p.stem)
def test_every_study_of_the_repo_composes(path, tmp_path, monkeypatch):
    """Its overrides are ones that `dvc exp run` takes, and its contrasts name pairs they have."""
    monkeypatch.chdir(ROOT)
    found = read_study(path)
    pairs, composed = {}, []
    for experiment in found.experiments[:: len({e.seed for e in found.experiments})]:
        compose(tmp_path / "params.yaml", list(experiment.overrides))
        composed.append(params := load_params(tmp_path / "params.yaml"))
        there = {*params.pairs_beside.values()}
        pairs[experiment.variant] = there | {(k, k) for k in params.iterations}
    for contrast in found.contrasts:
        for side in (contrast.after, contrast.before):
            assert (side.agent, side.retriever) in pairs[side.variant], contrast.name
    if path.stem.startswith("harness"):
        check_harness(*composed)


def check_harness(plain, *others):
    """The harness is priced without training: variants differ from the first of them in
    evaluation's own frame and limits, each from every other, and may leave out pairs."""
    seen = [(evaluation_rollout(plain), evaluation_protocol(plain))]
    for params in others:
        seen.append((evaluation_rollout(params), evaluation_protocol(params)))
        assert seen[-1] not in seen[:-1] and params.compare.items() <= plain.compare.items()
        assert params.evaluate.recall_at == plain.evaluate.recall_at
        params.evaluate, params.compare = plain.evaluate, plain.compare
        assert params == plain


def row(seed, variant, agent, retriever, em, question_set="a"):
    known = {"questions": 10, "f1": em, "unanswered": 0.0, "found": None, "recall": {}}
    return PairRow(
        seed=seed,
        variant=variant,
        agent=agent,
        retriever=retriever,
        question_set=question_set,
        em=em,
        searches=2 + em,
        **known,
    )


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


def test_claims_of_the_pilot_are_told_as_such(tmp_path):
    about = {"after": "a", "before": "b", "question_set": "all", "measure": "em", "seeds": 5}
    means = {"mean": 0.1, "low": 0.05, "high": 0.15, "p": 0.01, "p_adjusted": 0.02}
    result = ContrastResult(contrast="GAC", **about, **means, clear=True, claim=True)
    for name in ("new_contrasts", "old_contrasts"):
        (tmp_path / f"{name}.csv").write_text(as_table([result]))
    (tmp_path / "new_seeds.csv").touch()
    text = claims({"new": [result], "old": [result]}, kept.pilots(tmp_path))
    assert "| new | GAC | +10.0 (+5.0 to +15.0) | .020 | stands | 5 |" in text
    assert "| old | GAC | +10.0 (+5.0 to +15.0) | .020 | stands | 5, pilot |" in text
    assert "0.1.0" in text
    assert "0.1.0" not in claims({"new": [result]}, kept.pilots(tmp_path))
