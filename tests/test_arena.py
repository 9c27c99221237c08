"""The published recipes as parameters: what each retriever reads, and the costs of a run."""

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from stages.common.search import SearchRequest
from stages.composing.compose import compose
from stages.encoders.reference import format_of
from stages.params import POOLINGS, PairSource, VisitSource, load_params
from stages.planning.costs import Planner
from stages.planning.hardware import ACCELERATORS
from stages.planning.sizes import sizes
from stages.ppo.blocks import training_protocol, training_rollout
from stages.reporting.study_rows import SeedRow
from stages.studies.grid import grid_rows
from stages.studies.plan import read_study
from stages.studies.seeds import SeedTable
from stages.tools import plan

ROOT = Path(__file__).parents[1]
ARENA = (ROOT / "docs/arena.md").read_text(encoding="utf-8")
ASKED = SearchRequest("Who?", ("first",), "second", "I think")
WEB = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
ITER = (
    "Instruct: Given the main question, the agent's reasoning and the current sub-query it led to, "
    "and the sub-queries already tried in previous interactions, retrieve documents relevant to "
    "the current sub-query that provide NEW information not yet found.\nQuery: "
)
AGENTIR = (
    "Instruct: Given a user's reasoning followed by a web search query, retrieve relevant passages "
    "that answer the query while incorporating the user's reasoning\nQuery:"
)
READ = {  # what stands in front of the tokenizer
    "agentic_r": "query: Who? [SEP] second",
    "lrat": f"{WEB}second",
    "iter": f"{ITER}Main Question: Who?\nCurrent Reasoning: I think\nCurrent Subquery: second\n"
    "Previous Interactions:\nPrevious SubQuery 1: first",
    "agentir": f"{AGENTIR}Reasoning: I think\n\nQuery: second",
    "qwen3": f"{WEB}second",
    "e5": "query: second",
    "bge": "Represent this sentence for searching relevant passages: second",
}
FIXED = "corpus.source=conf/data/wiki_fixed.yaml"


def composed(folder: Path, *overrides: str):
    compose(folder / "params.yaml", list(overrides))
    return load_params(folder / "params.yaml")


def test_each_published_retriever_reads_what_it_was_trained_with(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    params = composed(tmp_path, "scale=gpu", "+baseline=arena")
    formats = {name: format_of(block) for name, block in params.baseline.items()}
    assert {n: f.query_prompt + f.text(ASKED) for n, f in formats.items()} == READ
    assert all(f.pooling in POOLINGS for f in formats.values())
    listed = {path.stem for path in (ROOT / "conf/baseline").glob("*.yaml")}
    assert listed == {*READ, "all", "arena"}
    last = list(params.iterations)[-1]
    pairs = {(pair.agent, pair.retriever) for pair in params.compare.values()}
    assert {(last, name) for name in READ} <= pairs


@pytest.mark.parametrize("recipe", ["lrat", "iter", "agentir"])
def test_a_recipe_is_its_parameters_one_by_one(recipe, tmp_path, monkeypatch):
    """The command in the document and, of whole recipes, the variant of the study."""
    monkeypatch.chdir(ROOT)
    whole = composed(tmp_path, f"+recipe={recipe}")
    assert f"`dvc exp run -S +recipe={recipe}`" in ARENA
    commands = re.findall(r"`dvc exp run (-S (?!scale|\+)[^`]+)`", ARENA)
    given = [re.findall(r"-S '?(\S+?)'?(?= |$)", command) for command in commands]
    assert whole in [composed(tmp_path, *overrides) for overrides in given]
    variant = f"arena_{recipe}"
    found = read_study(ROOT / "conf/study/arena.yaml")
    if variant in found.variants:
        given = composed(tmp_path, *found.overrides(variant))
        assert (given.visits, given.retriever) == (whole.visits, whole.retriever)
        assert replace(given.pairs, instances=None) == whole.pairs


LABELS = f"+encoder=qwen3 {FIXED} ~iterations.2 ~compare.agent2_r1"
OWN = ("correctness", "retriever", "index", "evaluate")  # stages that no two sources share
ROW = re.compile(r"^\| `pairs\.source: (\w+)` \| (.*?) \| (.*?) \| (.*?) \|$", re.MULTILINE)


@pytest.mark.parametrize(("scale", "column"), [("gpu", 2), ("paper", 3)])
def test_the_costs_of_label_sources_are_those_of_the_plan(
    scale, column, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(ROOT)
    rows = ROW.findall(ARENA)
    assert [row[0] for row in rows] == [source.name for source in PairSource]
    shared, own = {}, []
    for source, changes, *costs in rows:
        params = composed(tmp_path, f"scale={scale}", *LABELS.split(), *changes.strip("`").split())
        assert params.pairs.source.name == source
        plan.main(["--params", str(tmp_path / "params.yaml")])
        total = next(s for s in capsys.readouterr().out.splitlines() if s.startswith("In all "))
        assert costs[column - 2] in total
        for cost in Planner(params, sizes(params), ACCELERATORS["h100"]).costs():
            name, _, iteration = cost.stage.partition("@")
            if name in OWN and iteration:
                own.append(cost.hours)
            else:
                shared[cost.stage] = max(cost.hours, shared.get(cost.stage, 0))
    whole = sum(shared.values()) + sum(own)
    trained = ("retriever@1", "index@1", "evaluate@1")
    costs = Planner(params, sizes(params), ACCELERATORS["h100"]).costs()
    more = [cost.hours for cost in costs if cost.stage in trained]
    told = f"{whole:.3g} accelerator hours at `{scale}`, {sum(more):.3g} for each further variant"
    assert told in " ".join(ARENA.split()), told


@pytest.mark.parametrize("scale", ["gpu", "paper"])
def test_the_costs_in_the_document_are_those_of_the_plan(scale, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    command = f"scale={scale} +encoder=qwen3 {FIXED} +baseline=arena"
    assert command in ARENA
    params = composed(tmp_path, *command.split())
    assert params.encoder.model == "Qwen/Qwen3-Embedding-0.6B"
    assert format_of(params.encoder).query_prompt == WEB
    plan.main(["--params", str(tmp_path / "params.yaml")])
    total = next(s for s in capsys.readouterr().out.splitlines() if s.startswith("In all "))
    assert total in ARENA


def test_the_grid_has_every_training():
    study = read_study(ROOT / "conf/study/arena.yaml")
    bounds = {"arena_oracle"}  # trains as arena_gac
    assert {*study.grid} == {*study.variants} - bounds
    told = (ROOT / "docs/ablations.md").read_text(encoding="utf-8")
    assert f"for each of {len(study.grid)} trainings" in told


def test_a_grid_is_told_by_the_parameters_of_its_variants(monkeypatch):
    """Whatever the variants are called: rows of two seeds, of two variants of the study."""
    monkeypatch.chdir(ROOT)
    study = read_study(ROOT / "conf/study/arena.yaml")
    given = {
        "contrast": None,
        **{"before": None, "group": None, "question_set": "all"},
        **{"questions": 9, "questions_before": None, "error": 0.1, "chains": 9},
    }
    rows = [
        SeedRow(
            seed=seed,
            after=f"{variant}/1/1",
            measure=measure,
            mean=mean,
            asked=str(seed),
            **given,
        )
        for variant, mean in (("arena_worse_visits", 0.5), ("arena_lrat", 0.75))
        for measure in ("em", "searches")
        for seed in (20, 21)
    ]
    worse, lrat = grid_rows(study, SeedTable(Path("arena_seeds.csv"), rows))
    assert (worse.source, worse.missed, worse.false, worse.weights) == ("visits", 0.2, 0.2, "none")
    assert (worse.input, worse.instances, worse.em) == ("question_query", 120, 0.5)
    assert (lrat.input, lrat.weights) == ("query", "instances by reasoning")
    assert (lrat.missed, lrat.seeds, lrat.searches) == (0.0, 2, 0.75)


@pytest.mark.parametrize("scale", ["gpu", "paper"])
def test_agents_at_scale_can_be_labelled_by_what_they_open(scale, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    rows = [line for line in ARENA.splitlines() if "-S protocol=visit_tool" in line]
    commands = re.findall(r"`dvc exp run -S scale=gpu (.+?)`", "\n".join(rows))
    assert len(commands) == len(rows) == 2, "LRAT's and ITER's"
    for command in commands:
        changes = [word for word in shlex.split(command) if word != "-S"]
        changes += ["agent.protocol=null"] if scale == "paper" else []  # which is Search-R1's
        _check_visits(composed(tmp_path, f"scale={scale}", *changes))


def _check_visits(params) -> None:
    assert params.protocol.visit_tool and training_protocol(params).visit_tool
    assert params.visits.source is VisitSource.tool and params.visits.verify
    assert params.pairs.tiers or params.retriever.instance_weights
    assert training_rollout(params).max_visits == 4
