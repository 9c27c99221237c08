"""dvc.yaml lists the code that a stage runs: no module less, and no package it does not run."""

import ast
import re
from functools import cache
from itertools import product

import import_graph
import pytest
import yaml
from import_graph import ROOT, below, imports, modules, named, reached

from stages.params import load_params
from stages.running.dependencies import bodies, dependencies, value

# What a stage imports and dvc.yaml need not list, since it changes no byte of a result.
PLUMBING = {
    # What it sets up is of `compute.portable` and in stages/common/portable.py, a dep: a change
    # of sums shows in tests/portable.json and in the hashes of dvc.lock.
    "stages/__init__.py": "says how threads wait, and calls the portable set-up",
    "stages/params": "types, defaults and checks; DVC hashes the values themselves",
    "stages/plumbing": "errors, progress, usage and addresses carry a run and change no row",
    "stages/running": "scratch and workers give back the rows that a stage made, in order",
    "stages/serving": "carries requests to a searcher and its answers back",
    "stages/tools/serve.py": "the server's command",
    "stages/tracking": "puts into MLflow what the stage has written",
    "stages/provenance/origin.py": "the commit that MLflow is told",
}
# A dep that a parameter chooses: code of the values that it does not have is not run.
ALTERNATIVES = {
    "stages/${agent.trainer}_ppo": ("stages/loop_ppo", "stages/verl_ppo"),
    "${corpus.source}": ("stages/world",),
    "${questions.source}": ("stages/world",),
}
# What no import shows: a module that another one names in a text, and runs.
NAMED = {
    "stages.engines.vllm_generator": {"stages.engines.vllm_noise"},
    "stages.gpu_checks.ppo": {"stages.agent"},
    "stages.serving.process": {"stages.tools.serve"},
    "stages.verl_ppo.config": {
        "stages.verl_ppo.agent_loop",
        "stages.verl_ppo.output_layer",
        "stages.verl_ppo.reward",
        "stages.verl_ppo.value_model",
    },
}


def entry(body: dict) -> str:
    return re.search(r"python -m (stages\.\w+)", body["cmd"])[1]


def code_of(body: dict, chosen: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The code that a body lists, prompts and protocols apart; `chosen` for its alternatives."""
    listed = [dep for dep in body["deps"] if dep.startswith("stages/") and "${" not in dep]
    return tuple(dep for dep in listed if not dep.endswith(".yaml")) + chosen


def choices(body: dict) -> list[tuple[str, ...]]:
    """What the templated deps of a body may stand for, one of each."""
    options = [ALTERNATIVES[dep] for dep in body["deps"] if dep in ALTERNATIVES]
    return list(product(*options))


def is_empty(path: str) -> bool:
    """Whether a module holds a docstring at most."""
    return path.endswith("__init__.py") and len(ast.parse((ROOT / path).read_text()).body) <= 1


def missing(body: dict, graph=reached) -> list[str]:
    """What a body's module reaches and the body does not list, and through what it is reached."""
    found = []
    for chosen in choices(body):
        others = {path for dep in body["deps"] for path in ALTERNATIVES.get(dep, ())} - {*chosen}
        known = (*code_of(body, chosen), *PLUMBING)
        for path, through in graph(entry(body), tuple(others)).items():
            if not below(path, known) and not is_empty(path):
                found.append(f"{path} (by {through})")
    return sorted({*found})


def superfluous(body: dict, graph=reached) -> list[str]:
    """What a body lists and its module does not reach, whatever is chosen."""
    paths = graph(entry(body))
    return [dep for dep in code_of(body) if not any(below(path, (dep,)) for path in paths)]


@pytest.mark.parametrize("name", bodies())
def test_a_stage_lists_what_it_imports_and_nothing_else(name):
    assert missing(bodies()[name]) == []
    assert superfluous(bodies()[name]) == []


@pytest.mark.parametrize("name", bodies())
def test_every_listed_path_is_missed_when_it_is_taken_out(name):
    body = bodies()[name]
    for dep in code_of(body):
        if not below(dep, tuple(PLUMBING)):
            less = body | {"deps": [other for other in body["deps"] if other != dep]}
            assert missing(less), f"{name} does not need {dep}"


def test_a_package_that_a_stage_does_not_run_is_found():
    body = bodies()["questions"]
    assert superfluous(body | {"deps": [*body["deps"], "stages/loop_ppo"]}) == ["stages/loop_ppo"]


def test_plumbing_is_there_and_gives_a_reason():
    for path, reason in PLUMBING.items():
        assert (ROOT / path).exists() and len(reason.split()) > 2
    for path in ("seeds", "records", "queries", "models", "hub"):
        assert not below(f"stages/common/{path}.py", tuple(PLUMBING))


def test_what_no_import_shows_is_named():
    found = {module: set(named(module)) for module in modules()}
    assert {module: names for module, names in found.items() if names} == NAMED


@pytest.mark.parametrize("target", sorted(NAMED["stages.verl_ppo.config"]))
def test_an_import_behind_what_is_named_is_missed(target, monkeypatch):
    def more(module: str) -> frozenset[str]:
        return imports(module) | ({"stages.world.world"} if module == target else set())

    monkeypatch.setattr(import_graph, "imports", more)
    assert f"stages/world/world.py (by {target})" in missing(bodies()["agent"])


def test_the_imports_of_packages_have_no_circle():
    graph: dict[str, set[str]] = {}
    for module in modules():
        for other in imports(module):
            here, there = (".".join(name.split(".")[:2]) for name in (module, other))
            if here != there and there != "stages" and modules()[there].endswith("__init__.py"):
                graph.setdefault(here, set()).add(there)
    done: list[str] = []

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way, name))
        if name not in done:
            for other in sorted(graph.get(name, ())):
                visit(other, (*way, name))
            done.append(name)

    for name in sorted(graph):
        visit(name, ())


def test_the_top_of_the_folder_holds_stages_and_packages_alone():
    run = {entry(body).removeprefix("stages.") for body in bodies().values()}
    top = {file.stem for file in (ROOT / "stages").glob("*.py")} - {"__init__"}
    assert top == run


def test_dvc_yaml_parses_as_the_tests_read_it():
    listed = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert {*listed} == {*bodies()}


@cache
def code_by_stage() -> dict[str, tuple[str, ...]]:
    """The code of every stage of the laptop scale."""
    params, names = load_params(ROOT / "params.yaml"), []
    for name, body in yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].items():
        each = value(params, body["foreach"].strip("${}")) if "foreach" in body else None
        names += [name] if each is None else [f"{name}@{key}" for key in each]
    return {name: dependencies(name, params).code for name in names}


@pytest.mark.parametrize(("page", "cells"), [("README.md", (0, 1)), ("docs/layout.md", (0, 2))])
def test_the_table_of_edits_says_what_reruns(page, cells):
    table = (ROOT / page).read_text().partition("## Edit this, and that reruns\n")[2]
    rows = [line.strip("|").split("|") for line in table.partition("\n## ")[0].splitlines()]
    edits = [[row[cell] for cell in cells] for row in rows if len(row) > 2 and ".py" in row[0]]
    assert len(edits) > 8
    for files, counted in edits:
        for file in re.findall(r"`([\w/]+\.py)`", files):
            assert (ROOT / "stages" / file).exists()
            found = [s for s, code in code_by_stage().items() if below(f"stages/{file}", code)]
            assert len(found) == int(re.match(r" *(\d+)", counted)[1]), (file, found)
