"""Oracle ranking on a tiny world: held to rollouts that are written out, one passage at a time."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import label_world as world
import pytest
from rows import prediction

from stages import evaluate, oracle
from stages.common.evaluations import Evaluation
from stages.common.records import Question, read_json, read_jsonl, write_jsonl, write_questions
from stages.common.trajectories import trajectory_of
from stages.engines.loading import load_agent
from stages.evaluation.asking import question_sets
from stages.metrics.reading import read
from stages.metrics.run import check_same_sets
from stages.params import load_params
from stages.planning.costs import Planner
from stages.planning.hardware import ACCELERATORS
from stages.planning.sizes import sizes
from stages.plumbing.errors import InputError
from stages.reporting.comparisons import bounds
from stages.reporting.page import Content, render_page
from stages.reporting.pairing import paired
from stages.reporting.predictions import read_all_predictions
from stages.reporting.results import PairResult, Results, pair_names, read_results
from stages.retrieval.searcher import load_searcher
from stages.rollout import loop
from stages.rollout.protocol import AgentProtocol
from stages.scoring import exact_match
from stages.studies.contrasts import contrast_rows
from stages.studies.experiments import Finished
from stages.studies.plan import Contrast, Experiment, Side, Study
from stages.studies.seeds import SeedTable, seed_table
from stages.studies.states import Made

ROOT = Path(__file__).parents[1]
TOP = 8
PAIR = {"agent": "1", "retriever": "0", "questions": 4}
BLOCKS = {
    "candidates": {"top_k": TOP},
    "oracle": {"ranked": PAIR},
    "pairs": {"negatives": TOP - 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        world.build(path)
        Path("models/agent").mkdir(parents=True)
        Path("agent").rename("models/agent/1")
        Path("data/index").mkdir(parents=True)
        Path("index").rename("data/index/0")
        write_questions("test/first.jsonl", world.QUESTIONS)
        others = [Question(q.id, q.question, ["black"]) for q in world.QUESTIONS[:3]]
        write_questions("test/wrong.jsonl", others)
    return path


@pytest.fixture
def project(folder, monkeypatch):
    monkeypatch.chdir(folder)
    world.set_params(**BLOCKS)
    return folder


def asked(stage, name: str, output: str, *more: str) -> tuple[list[dict], dict]:
    files = {"agent": "models/agent/1", "index": "data/index/0", "retriever": "retriever"}
    files |= {"name": name, "passages": "passages.jsonl", "questions": "test"}
    files |= {"output": f"{output}.jsonl", "metrics": f"evaluate/{output}.json"}
    stage.main([part for key, value in files.items() for part in (f"--{key}", value)] + [*more])
    return read_jsonl(f"{output}.jsonl"), read_json(f"evaluate/{output}.json")


def ranked(output: str = "ranked") -> tuple[list[dict], dict, dict]:
    price = f"oracle/{output}.json"
    return (*asked(oracle, "ranked", output, "--price", price), read(price))


def right_by_hand(row: dict, turn: int, hits, agent, searcher, protocol, limits) -> list[bool]:
    """Whether the rollout ends right with each passage alone: one rollout each, none spared."""
    found = []
    for hit in hits:
        start = loop.prefix(
            trajectory_of(row, ""), turn, [hit.passage], protocol, agent.tokenizer, limits
        )
        loop.run([start], agent, lambda r: searcher.search(r, limits.top_k), protocol, limits)
        found.append(exact_match(start.answer, row["golden_answers"]) == 1)
    return found


def test_the_first_right_ones_come_first_and_no_rollout_is_needless(project):
    rows, metrics, price = ranked()
    params = load_params()
    limits, protocol = params.rollout, AgentProtocol(params.protocol)
    agent = load_agent("models/agent/1", params.generation, params.compute)
    searcher = load_searcher("data/index/0", "passages.jsonl", "retriever", params.compute)
    rollouts, right, moved = 0, 0, 0
    for row in rows:
        requests = dict(trajectory_of(row, "").requests())
        for turn, request in requests.items():
            hits = searcher.search([request], 20)[0]
            first = hits[:TOP]
            gac = right_by_hand(row, turn, first, agent, searcher, protocol, limits)
            positions = [position for position, good in enumerate(gac) if good][: limits.top_k]
            wanted = positions + [position for position in range(20) if position not in positions]
            turned = row["turns"][turn]
            assert turned["ranked"] == [hits[position].passage.id for position in wanted]
            assert [p["id"] for p in turned["passages"]] == turned["ranked"][: limits.top_k]
            rollouts += positions[-1] + 1 if len(positions) == limits.top_k else TOP
            right += len(positions)
            moved += positions != [*range(len(positions))]
    assert right and moved and len({row["em"] for row in rows}) == 2, "the world says something"
    sums = {key: sum(each[key] for each in price["sets"].values()) for key in ("right", "rollouts")}
    assert sums == {"right": right, "rollouts": rollouts}
    assert (metrics["agent"], metrics["retriever"]) == ("1", "0+oracle")
    assert read("evaluate/ranked.json") == metrics, "by its schema"


def test_so_many_questions_of_each_set_and_no_fewer_right_than_without(project):
    rows, metrics, price = ranked()
    counts = {name: part["questions"] for name, part in metrics["sets"].items()}
    assert counts == {"first": 4, "wrong": 3} and price["questions"] == 7
    assert price["sets"]["wrong"]["right"] == 0, "no passage leads to what is not known"
    plain, others = asked(evaluate, "plain", "plain")
    assert others["sets"]["first"]["questions"] == 6
    own = {(row["set"], row["id"]): row for row in plain}
    assert {(row["set"], row["id"]) for row in rows} < {*own}
    same = [row for row in rows if row["set"] == "wrong"]
    for row in same:
        assert row["turns"] == own[row["set"], row["id"]]["turns"], "nothing to move: as without"
    assert (
        metrics["sets"]["first"]["em"]
        >= sum(own[row["set"], row["id"]]["em"] for row in rows if row["set"] == "first") / 4
    )


def test_the_last_turn_takes_no_rollout(project):
    world.set_params(**BLOCKS, evaluate={"rollout": {"max_turns": 1}})
    rows, _, price = ranked("last")
    assert {row["stop"] for row in rows} == {"turns"}
    for each in price["sets"].values():
        assert each["rollouts"] == 0 and each["unranked"] == each["queries"] > 0


def test_what_was_done_before_a_kill_is_not_done_again(project, monkeypatch):
    whole = ranked("whole")
    monkeypatch.setattr(oracle, "SHARD", 3)
    real, done = oracle._rollouts, []

    def counted(agent, searcher, protocol, params, part, advance):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(part)
        return real(agent, searcher, protocol, params, part, advance)

    monkeypatch.setattr(oracle, "_rollouts", counted)
    with pytest.raises(KeyboardInterrupt):
        ranked()
    done.clear()
    assert ranked() == whole and len(done) == 1
    assert Path("ranked.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()


def results_of(**pairs: dict) -> Results:
    found = [
        PairResult(**vars(Evaluation.of(metrics)), name=name) for name, metrics in pairs.items()
    ]
    return Results([], found, {}, {}, {})


def test_it_is_held_against_its_own_retriever_over_the_same_questions(project, monkeypatch):
    rows, metrics, _ = ranked()
    plain, others = asked(evaluate, "plain", "plain")
    results = results_of(plain=others, ranked=metrics)
    keys = {(name, question.id) for name, question in question_sets(Path("test"))}
    predictions = read_all_predictions(Path(), results, keys, Path("evaluate"))
    (bound,) = bounds(results, predictions)
    own = {(row["set"], row["id"]): row["em"] for row in plain}
    gains = [row["em"] - own[row["set"], row["id"]] for row in rows]
    assert bound.em.mean == pytest.approx(sum(gains) / len(gains))
    assert bound.what == "Agent_1 + R_0 ranked by an oracle (a bound) for Agent_1 + R_0"
    with pytest.raises(InputError, match="2 are of one of them alone"):
        paired(predictions["plain"], predictions["ranked"], ("plain", "ranked"))
    monkeypatch.chdir(ROOT)
    page = render_page(Content(read_results(Path("metrics"), load_params()), [], bounds=[bound]))
    section = page.partition("<h3>What is left to gain</h3>")[2].partition("</section>")[0]
    assert bound.what in section and "no system" in section and "<td>7</td>" in section
    monkeypatch.chdir(project)
    write_jsonl("ranked.jsonl", [rows[0] | {"id": "x"}, *rows[1:]])
    with pytest.raises(InputError, match=r"not of this run: .* has other questions than"):
        read_all_predictions(Path(), results, keys, Path("evaluate"))


def test_the_tables_name_it_after_its_retriever_and_the_plan_knows_its_price(project):
    params = load_params()
    names = pair_names(params)
    assert names["ranked"] == ("1", "0+oracle")
    order = list(names)
    assert order.index("ranked") == order.index("agent1_r0") + 1
    planner = Planner(params, sizes(params), ACCELERATORS["h100"])
    costs = {cost.stage: cost for cost in planner.costs()}
    asked_of_all = PAIR["questions"] * 3
    tried = asked_of_all * planner.sizes.searches * TOP
    assert costs["oracle@ranked"].rollouts == asked_of_all + tried
    assert costs["oracle@ranked"].hours > 0 and planner.bound(costs["oracle@ranked"]).devices == 1


def test_a_study_finds_it_under_its_name_and_runs_of_before_have_none():
    plan = Experiment("arena_oracle", 0, (), ("drift",))
    one, old = Finished(plan, "a"), Finished(plan, "b")
    known = {"compare": {"plain": PAIR}, "iterations": {"1": {"previous": "0"}}}
    vars(one)["params"], vars(old)["params"] = known | {"oracle": {"ranked": PAIR}}, known
    assert one.pair("1", "0+oracle") == "ranked" and one.pair("1", "0") == "plain"
    assert ("1", "0+oracle") not in old.pairs and old.pair("1", "1") == "1"


def test_a_part_of_the_questions_is_told_from_other_questions():
    def part(sets: dict[str, int]) -> dict:
        return {name: SimpleNamespace(questions=n, recall={"3": 1}) for name, n in sets.items()}

    whole = {Path("whole"): part({"first": 6, "wrong": 3})}
    check_same_sets(whole, {Path("part"): part({"first": 4, "wrong": 3})})
    for sets in ({"first": 7, "wrong": 3}, {"first": 4}, {"first": 4, "wrong": 3, "x": 1}):
        with pytest.raises(InputError, match="part: not of this run"):
            check_same_sets(whole, {Path("part"): part(sets)})
    with pytest.raises(InputError, match="not of this run"):
        check_same_sets(whole | {Path("other"): part({"first": 4, "wrong": 3})})


@dataclass(frozen=True)
class Given(Finished):
    """An experiment of the predictions that a test gives."""

    rows: dict = field(default_factory=dict, hash=False)

    made = Made("commit", "code-params")
    question_file = None

    @property
    def pairs(self):
        return {("1", "0"): "plain", ("1", "0+oracle"): "ranked"}

    def predictions(self, name):
        return self.rows[name]


def given(seed: int, ranked: int) -> Given:
    """Six questions, each other one answered, of which the first are `ranked`, and then right."""
    told = [
        {"em": n % 2, "question": f"Who is {n} of {seed}?", "supporting_ids": [[f"p{n}"]]}
        for n in range(6)
    ]
    plain = [prediction(f"q{n}", **each) for n, each in enumerate(told)]
    right = [prediction(f"q{n}", **each | {"em": 1}) for n, each in enumerate(told[:ranked])]
    return Given(Experiment("a", seed, ()), "", {"plain": plain, "ranked": right})


def test_a_study_counts_the_questions_that_it_ranked(tmp_path):
    """Also from what is kept of each seed alone."""
    bound = Contrast("a bound", Side("a", "1", "0+oracle"), Side("a", "1", "0"))
    table = seed_table(Study("x", [], [bound]), [given(0, 4), given(1, 5)], tmp_path)
    counts = {(row.seed, row.measure, row.question_set): row.questions for row in table.rows}
    assert counts[0, "em", "all"] == 4 and counts[1, "em", "all"] == 5
    (row, *_) = contrast_rows([bound], table)
    assert (row.measure, row.seeds) == ("em", 2)
    assert row.mean == pytest.approx((2 / 4 + 3 / 5) / 2)
    assert row.after == "a: Agent_1 + R_0 ranked by an oracle (a bound)"
    kept = contrast_rows([bound], SeedTable(tmp_path, table.rows))
    assert kept[0] == row
