"""Runs side by side, from files as git and DVC keep them."""

import json
from pathlib import Path

import flywheel_files
import pytest
import yaml
from checkout import command
from omegaconf import OmegaConf

from stages.comparing.runs import changes
from stages.plumbing.errors import InputError
from stages.provenance.hashes import hash_of
from stages.tools import compare


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A run of two iterations, committed."""
    monkeypatch.chdir(tmp_path)
    flywheel_files.write_flywheel(tmp_path, questions=10)
    OmegaConf.save(OmegaConf.structured(flywheel_files.params()), "params.yaml")
    command(tmp_path, "git", "init", "-q")
    commit(tmp_path)
    return tmp_path


def commit(folder: Path) -> str:
    command(folder, "git", "add", "-A", "params.yaml", "metrics", *folder.glob("dvc.lock"))
    command(folder, "git", "commit", "-qm", "run")
    return command(folder, "git", "rev-parse", "HEAD").strip()


def changed(folder: Path, em: float | None = None, pair: str = "2", **values) -> None:
    """Other parameters, and another EM of one pair's first set."""
    params = yaml.safe_load(Path("params.yaml").read_text())
    Path("params.yaml").write_text(yaml.safe_dump(params | values))
    if em is not None:
        path = Path(f"metrics/evaluate/{pair}.json")
        metrics = json.loads(path.read_text())
        metrics["sets"]["indomain"] |= {"em": em, "em_low": em, "em_high": em}
        path.write_text(json.dumps(metrics))


def experiment(folder: Path, name: str, em: float, **values) -> None:
    """As DVC files an experiment: a commit under refs/exps, the checkout as it was."""
    head = command(folder, "git", "rev-parse", "HEAD").strip()
    changed(folder, em, **values)
    made = commit(folder)
    command(folder, "git", "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", made)
    command(folder, "git", "reset", "-q", "--hard", head)


def printed(capsys, *words: str) -> list[str]:
    compare.main(list(words))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    return lines


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_the_commit_alone(repository, capsys):
    lines = printed(capsys)
    head = command(repository, "git", "rev-parse", "--short=7", "HEAD").strip()
    [row] = [cells(line) for line in lines if line.startswith(f"│ commit {head}")]
    expected = []
    for name in ("base", "1", "2"):
        sets = json.loads(Path(f"metrics/evaluate/{name}.json").read_text())["sets"].values()
        means = [sum(part[key] for part in sets) / 2 for key in ("em", "searches")]
        expected.append(f"{100 * means[0]:.1f}  {means[1]:.2f}")
    assert row == [f"commit {head}", "-", *expected]
    assert lines[-1].startswith("dvc exp show --drop '.*' --keep")
    assert not any("this checkout" in line for line in lines), "it holds the same"


def test_experiments_and_the_checkout_with_what_they_changed(repository, capsys):
    experiment(repository, "cold-bots", 0.1, seed=1)
    iterations = {"iterations": {"1": {"previous": "0"}}, "compare": {}}
    experiment(repository, "third", 0.2, **iterations)
    changed(repository, 0.35, seed=5)
    lines = printed(capsys)
    first = "\n".join(lines[: next(n for n, line in enumerate(lines) if "by pair" in line)])
    assert first.index("this checkout") < first.index("cold-bots") < first.index("third")
    for told in ("seed=5", "seed=1", "~iterations.2", "~compare.base"):
        assert told in first
    start = next(
        n for n, line in enumerate(lines) if "Agent_2 + R_2" in line and "indomain" in line
    )
    row = cells(lines[start])
    assert [cell.split()[0] for cell in row[3:]] == ["35.0", "10.0", "-"], "2 is not third's"
    assert cells(lines[start + 2])[1] == "mean"


def test_two_runs_by_name(repository, capsys):
    experiment(repository, "one", 0.1, seed=1)
    experiment(repository, "two", 0.2, seed=2)
    lines = printed(capsys, "two", "HEAD")
    assert any("changed since two" in line for line in lines)
    assert any("seed=0" in line for line in lines) and not any("one" in c for c in lines[:8])
    with pytest.raises(InputError, match="three: neither an experiment nor a revision"):
        compare.main(["three"])


def test_experiments_of_other_commits_are_shown_where_they_are_asked_for(repository, capsys):
    experiment(repository, "old", 0.1, seed=1)
    changed(repository, seed=3)
    commit(repository)
    assert not any("old" in line for line in printed(capsys))
    assert any("old" in line for line in printed(capsys, "--all"))


def test_many_runs_with_long_names_stay_within_the_width(repository, capsys):
    for number in range(6):
        experiment(repository, f"without-global-answer-correctness-seed{number}", 0.1, seed=number)
    lines = printed(capsys)
    assert any("has 4 of 7 runs" in line for line in lines)
    assert sum("seed=" in line for line in lines) == 5, "seed 0 is the commit's"


def test_a_figure_of_other_parameters_is_left_out(repository, capsys):
    """As `dvc exp run TARGET` leaves it: parameters changed, and this file was not made anew."""
    stages = {}
    for name, file in {n: f"metrics/evaluate/{n}.json" for n in flywheel_files.pairs()}.items():
        out = {"path": file, "md5": hash_of(Path(file))}
        params = {"params.yaml": {"seed": 0 if name == "2" else 1}}
        stages[f"evaluate@{name}"] = {"cmd": "x", "params": params, "outs": [out]}
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": stages}))
    changed(repository, seed=1)
    commit(repository)
    lines = printed(capsys)
    [row] = [cells(line) for line in lines if line.startswith("│ commit")]
    assert len(row) == 2 + 2 and not any("Agent_2 + R_2" in line for line in lines)
    assert "2.json is not of these parameters: evaluate@2 ran with" in " ".join(
        " ".join(lines).split()
    )


def test_runs_with_other_questions_are_marked(repository, capsys):
    assert not any("the same questions" in line for line in printed(capsys))
    flywheel_files.write_flywheel(repository, questions=5)
    lines = printed(capsys)
    assert any("Not all runs asked the same questions" in line for line in lines)
    assert "  this checkout: indomain 5, relations 5" in lines


def test_without_git_the_checkout_is_shown(repository, tmp_path_factory, monkeypatch, capsys):
    folder = tmp_path_factory.mktemp("plain")
    (folder / "params.yaml").write_text(Path("params.yaml").read_text())
    flywheel_files.write_flywheel(folder, questions=5)
    monkeypatch.chdir(folder)
    assert any(line.startswith("│ this checkout") for line in printed(capsys))


def test_nothing_to_compare_is_one_line(repository):
    command(repository, "git", "rm", "-rq", "--cached", "metrics")
    command(repository, "git", "commit", "-qm", "none")
    for file in Path("metrics/evaluate").iterdir():
        file.unlink()
    with pytest.raises(InputError, match=r"no run to compare: .*metrics/evaluate .*dvc repro"):
        compare.main([])


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, ["a.c=3"]),
        ({"a": "on"}, {"a": "off"}, ["a='off'"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a=[1, 2]"]),
        ({"a": {}}, {"a": {"b": {"c": "2"}}}, ["+a.b={c: '2'}"]),
        ({"a": {"b": 1}}, {"a": {}}, ["~a.b"]),
        ({"a": 1}, {"a": None}, ["a=null"]),
    ],
)
def test_changes_are_told_as_they_are_asked_for(before, after, told):
    assert changes(before, after) == told
