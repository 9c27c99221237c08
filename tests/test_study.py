"""A study over a pipeline of one stage: real DVC experiments, and the table that they give."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages import study
from stages.errors import InputError
from stages.studies.medians import changes, difference, markdown, medians

STAGE = """
import json, pathlib, yaml
params = yaml.safe_load(open("params.yaml"))
em = round(0.5 + params["seed"] / 10 - (0.2 if params["mode"] == "cheap" else 0), 6)
figures = {"questions": 5, "em": em, "f1": em, "searches": 2.0}
pair = {"agent": "1", "retriever": "1", "sets": {"a": figures, "b": figures}}
pathlib.Path("metrics/evaluate").mkdir(parents=True, exist_ok=True)
json.dump(pair, open("metrics/evaluate/1.json", "w"))
"""
PIPELINE = f"""
stages:
  evaluate:
    cmd: {sys.executable} stage.py
    params: [seed, mode]
    metrics:
      - metrics/evaluate/1.json:
          cache: false
"""
PARAMS = 'seed: 0\nmode: lazy\ncompare: {}\niterations: {"1": {previous: "0"}}\n'
STUDY = "seeds: [0, 1]\nvariants:\n  full: []\n  no_gac: [mode=cheap]\n"
README = "# Title\n<!-- results: written -->\nold\n<!-- /results -->\nend\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    files = {"stage.py": STAGE, "dvc.yaml": PIPELINE, "params.yaml": PARAMS, "README.md": README}
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


def table(folder):
    with open(folder / "metrics/studies/laptop.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_study_is_run_once_and_collected_from_its_experiments(project):
    study.main(["--study", "laptop.yaml", "--variants", "no_gac", "--seeds", "1"])
    assert [row["em"] for row in table(project)] == ["0.4", "0.4"]
    study.main(["--study", "laptop.yaml", "--seeds", "1", "--readme"])
    rows = table(project)
    assert list(rows[0]) == [
        *("seed", "variant", "agent", "retriever", "question_set"),
        *("questions", "em", "f1", "searches"),
    ]
    found = {(r["variant"], r["seed"], r["question_set"]): float(r["em"]) for r in rows}
    assert found == {
        ("full", "1", "a"): 0.6,
        ("full", "1", "b"): 0.6,
        ("no_gac", "1", "a"): 0.4,
        ("no_gac", "1", "b"): 0.4,
    }
    readme = (project / "README.md").read_text()
    assert "old" not in readme and readme.endswith("<!-- /results -->\nend\n")
    assert "| no gac | Agent_1 + R_1 | 40.0 (40.0 to 40.0) | 2.00 |" in readme
    assert not (project / "metrics/evaluate").exists(), "the working tree is left alone"
    (project / "metrics/studies/laptop.csv").unlink()
    study.main(["--study", "laptop.yaml", "--collect"])
    assert table(project) == rows


def test_bad_studies_are_one_clear_line(project):
    with pytest.raises(InputError, match=r"nowhere\.yaml: cannot be read"):
        study.main(["--study", "nowhere.yaml"])
    (project / "tmp").mkdir(exist_ok=True)
    (project / "tmp/bad.yaml").write_text("variants: 3\n")
    with pytest.raises(InputError, match=r"bad\.yaml: expected 'seeds'"):
        study.main(["--study", "tmp/bad.yaml"])
    with pytest.raises(InputError, match="has no experiment"):
        study.main(["--study", "laptop.yaml", "--variants", "unheard"])
    with pytest.raises(InputError, match=r"README\.md: needs the lines"):
        study.with_results("no marks", "table")


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


def test_differences_are_paired_by_seed():
    rows = [row(s, "full", "1", "0", em) for s, em in ((0, 0.1), (1, 0.5), (2, 0.3))]
    rows += [row(s, "full", "1", "1", em) for s, em in ((0, 0.2), (1, 0.7), (2, 0.8))]
    after, before = ("full", "1", "1"), ("full", "1", "0")
    assert difference(rows, after, before) == pytest.approx(0.2)
    assert difference(rows, after, ("no_gac", "1", "1")) is None
    assert "| Agent_1 + R_1 for Agent_1 + R_0 | +20.0 | +0.20 |" in markdown(rows)


def test_pairs_that_are_of_no_turn_are_in_the_table_and_in_no_change():
    rows = [
        row(0, "full", agent, retriever, 0.5) for agent, retriever in (("1", "bm25"), ("1", "1"))
    ]
    rows.append(row(0, "full", "scripted", "2", 0.9))
    assert changes(rows) == []
    assert "| scripted agent + R_2 | 90.0 (90.0 to 90.0) | 2.90 |" in markdown(rows)


def test_variants_are_compared_with_the_full_method():
    rows = [row(0, "full", "2", "2", 0.8), row(0, "no_gac", "2", "2", 0.5)]
    rows += [row(0, v, "0", "0", 0.1) for v in ("full", "no_gac")]
    found = changes(rows)
    assert [what for what, *_ in found] == ["no gac: Agent_2 + R_2 for Agent_2 + R_2"]
    assert found[0][1] == pytest.approx(-0.3)
