"""Evaluation of a tiny agent that has learned its dialogues by heart, over BM25."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from rollout_models import DIALOGUES, train_agent

from stages import evaluate, index
from stages.common.records import (
    Passage,
    Question,
    read_json,
    read_jsonl,
    write_passages,
    write_questions,
)
from stages.metrics.reading import read
from stages.params import Protocol as ProtocolParams
from stages.plumbing.errors import InputError
from stages.rollout.protocol import AgentProtocol
from stages.scoring import exact_match, f1_score

AGENT = Path(__file__).parents[1] / "models" / "agent" / "0"
FILMS = [Passage(f"p{n}", q, f"{q} of {a}") for n, (_, q, a) in enumerate(DIALOGUES)]
INDEX = "--passages passages.jsonl --bm25 --output bm25 --metrics index.json"
OTHERS = [Passage(f"x{n}", "city", "the city was find born") for n in range(4)]


@pytest.fixture(scope="module")
def agent(tmp_path_factory):
    return train_agent(tmp_path_factory.mktemp("agent") / "1", AgentProtocol(ProtocolParams()))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Parameters, a BM25 index, and two question sets: one answered right, one wrong."""
    monkeypatch.chdir(tmp_path)
    rollout = {"max_turn_tokens": 40, "max_information_tokens": 64, "max_context_tokens": 200}
    settings = {"rollout": {"top_k": 1, **rollout}, "compute": {"threads": 1}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    write_passages("passages.jsonl", FILMS + OTHERS)
    for name, wrong in (("right", False), ("wrong", True)):
        write_questions(f"test/{name}.jsonl", questions(wrong))
    index.main(INDEX.split())
    return tmp_path


def questions(wrong: bool) -> list[Question]:
    return [
        Question(f"q{n}", q, ["Nobody"] if wrong else [a], {"supporting_ids": [[f"p{n}"]]})
        for n, (q, _, a) in enumerate(DIALOGUES)
    ]


def run_stage(agent, output="out.jsonl", metrics="out.json"):
    evaluate.main(
        f"--name pair --agent {agent} --index bm25 --retriever models/retriever/bm25 "
        f"--passages passages.jsonl --questions test --output {output} --metrics {metrics}".split()
    )
    return read_jsonl(output), read_json(metrics)


def test_figures_are_those_of_the_predictions(project, agent):
    rows, metrics = run_stage(agent)
    assert (metrics["agent"], metrics["retriever"]) == ("1", "bm25")
    assert [row["set"] for row in rows] == ["right"] * 4 + ["wrong"] * 4
    right, wrong = metrics["sets"]["right"], metrics["sets"]["wrong"]
    assert right["questions"] == 4 and right["em"] == 1 and wrong["em"] == 0
    assert right["em_low"] == right["em_high"] == 1, "four chains that do not differ"
    assert right["searches"] == 1 and right["unanswered"] == 0
    for row in rows:
        assert row["em"] == exact_match(row["answer"], row["golden_answers"])
        assert row["f1"] == f1_score(row["answer"], row["golden_answers"])


def test_development_sets_are_asked_and_their_figures_alone_are_kept(project, agent):
    whole, metrics = run_stage(agent)
    write_questions("development/right.jsonl", questions(True))
    evaluate.main(
        f"--name pair --agent {agent} --index bm25 --passages passages.jsonl --questions test "
        "--development development --output also.jsonl --metrics also.json".split()
    )
    assert read_jsonl("also.jsonl") == whole, "of the test sets alone"
    also = read_json("also.json")
    assert {k: v for k, v in also.items() if k != "development"} == metrics
    assert also["development"].keys() == {"right"} and also["development"]["right"]["em"] == 0
    assert read("also.json", "evaluate") == also, "by its schema"
    shutil.rmtree(project / "development")
    (project / "development").mkdir()
    evaluate.main(
        f"--name pair --agent {agent} --index bm25 --passages passages.jsonl --questions test "
        "--development development --output none.jsonl --metrics none.json".split()
    )
    assert read_json("none.json") == metrics, "no such set"


def test_recall_is_that_of_the_rankings(project, agent):
    rows, metrics = run_stage(agent)
    for set_name in ("right", "wrong"):
        ranked = [r["turns"][0]["ranked"] for r in rows if r["set"] == set_name]
        first = sum(ids[0] == f"p{n}" for n, ids in enumerate(ranked)) / 4
        assert metrics["sets"][set_name]["found"] == first, "the agent is shown one passage"
        assert metrics["sets"][set_name]["recall"]["20"] == 1
    assert [len(row["turns"][0]["passages"]) for row in rows] == [1] * 8
    assert rows[0]["turns"][0]["passages"][0]["id"] == rows[0]["turns"][0]["ranked"][0]
    assert "ranked" not in rows[0]["turns"][-1], "the last turn asked nothing"


def test_a_passage_with_the_answer_is_told_from_one_of_the_right_id(project, agent):
    """The sets have the same supporting passages; nobody's answer is in one."""
    rows, metrics = run_stage(agent)
    contents = {passage.id: passage.contents for passage in FILMS + OTHERS}
    for name, part in metrics["sets"].items():
        asked = [
            (r["golden_answers"][0], r["turns"][0]["ranked"]) for r in rows if r["set"] == name
        ]
        for k in (3, 20):
            hits = [any(gold in contents[p] for p in ids[:k]) for gold, ids in asked]
            assert part["answer_recall"][str(k)] == sum(hits) / 4
        shown = [gold in contents[ids[0]] for gold, ids in asked]
        assert part["answer_found"] == sum(shown) / 4
        assert "support" not in part
    wrong = metrics["sets"]["wrong"]
    assert (wrong["recall"]["20"], wrong["answer_recall"]["20"]) == (1, 0)
    assert metrics["sets"]["right"]["answer_recall"]["20"] == 1
    assert not any("answer_positions" in row for row in rows), "predictions are as they were"
    titled = [replace(q, metadata=q.metadata | {"supporting_titles": []}) for q in questions(True)]
    write_questions("test/wrong.jsonl", titled)
    _, metrics = run_stage(agent)
    assert metrics["sets"]["wrong"]["support"] == "titles"
    assert read("out.json", "evaluate") == metrics, "by its schema"


def test_an_agent_talks_as_its_own_folder_says(project, agent, tmp_path):
    settings = yaml.safe_load((project / "params.yaml").read_text())
    other = {"search_pattern": r"\[(.*?)\]", "answer_pattern": r"\((.*?)\)", "stop": ["]", ")"]}
    (project / "params.yaml").write_text(yaml.safe_dump(settings | {"protocol": other}))
    rows, _ = run_stage(agent)
    assert {row["stop"] for row in rows} == {"invalid"}
    guest = shutil.copytree(agent, tmp_path / "guest")
    (guest / "protocol.yaml").write_text("name: its own\n")
    _, metrics = run_stage(guest)
    assert metrics["sets"]["right"]["em"] == 1
    (guest / "protocol.yaml").write_text("prompt: none\n")
    with pytest.raises(InputError, match=r"guest/protocol\.yaml: 'prompt'"):
        run_stage(guest)


def test_an_agent_is_rolled_out_as_its_own_folder_says(project, agent, tmp_path):
    guest = shutil.copytree(agent, tmp_path / "guest")
    (guest / "rollout.yaml").write_text("max_turns: 1\ntop_k: 2\n")
    rows, metrics = run_stage(guest)
    assert {row["stop"] for row in rows} == {"turns"} and metrics["sets"]["right"]["em"] == 0
    assert [row["searches"] for row in rows] == [1] * 8, "the search is made and counted"
    assert [len(turn["passages"]) for row in rows for turn in row["turns"]] == [2] * 8
    (guest / "rollout.yaml").write_text("max_turn: 1\n")
    with pytest.raises(InputError, match=r"guest/rollout\.yaml: 'max_turn'"):
        run_stage(guest)


def test_evaluation_has_a_frame_and_limits_of_its_own(project, agent, tmp_path):
    settings = yaml.safe_load((project / "params.yaml").read_text())
    run_rows, _ = run_stage(agent)
    own = {"passage": '"{name}": {text}\n', "information": "\n[{passages}]\n"}
    block = {"rollout": {"max_turns": 1, "top_k": 2}, "protocol": own}
    (project / "params.yaml").write_text(yaml.safe_dump(settings | {"evaluate": block}))
    rows, metrics = run_stage(agent)
    assert {row["stop"] for row in rows} == {"turns"} and metrics["sets"]["right"]["em"] == 0
    assert {len(turn["passages"]) for row in rows for turn in row["turns"]} == {2}
    assert all(row["turns"][0]["information"].startswith('\n["') for row in rows)
    assert run_rows[0]["turns"][0]["information"].startswith("\n<information>")
    guest = shutil.copytree(agent, tmp_path / "guest")  # what an agent brings comes first
    (guest / "protocol.yaml").write_text("name: its own\n")
    (guest / "rollout.yaml").write_text("max_turns: 2\ntop_k: 1\n")
    assert run_stage(guest)[0][0]["turns"] == run_rows[0]["turns"]


def test_evaluation_may_show_new_results_only(project, tmp_path):
    """An agent that finds nothing asks again, and is then shown the next passages."""
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "scripted.json").write_text(f'{{"tokenizer": "{AGENT}"}}')
    films = [Passage(f"f{n}", "", f"The film Barax W{n} is by Ana.") for n in range(9)]
    write_passages("passages.jsonl", films)
    index.main(INDEX.split())
    shutil.rmtree("test")
    asked = Question("q", "Who is the director of the film Barax Tikoq?", ["Ana"])
    write_questions("test/one.jsonl", [asked])
    settings = yaml.safe_load((project / "params.yaml").read_text())
    shown = {}
    for new in (False, True):
        limits = {"new_results_only": new, "top_k": 2, "max_context_tokens": 400}
        block = {"rollout": limits, "recall_at": [3]}
        (project / "params.yaml").write_text(yaml.safe_dump(settings | {"evaluate": block}))
        [row], _ = run_stage(tmp_path / "script")
        first, second, _ = row["turns"]
        shown[new] = [[passage["id"] for passage in turn["passages"]] for turn in (first, second)]
        assert shown[new] == [first["ranked"][:2], second["ranked"][:2]]
        assert len(second["ranked"]) >= 3 and (set(shown[new][0]) < set(second["ranked"])) != new
    assert shown[False] == [["f0", "f1"], ["f0", "f1"]]
    assert shown[True] == [["f0", "f1"], ["f2", "f3"]]


def test_what_was_done_before_a_kill_is_not_done_again(project, agent, monkeypatch):
    whole = run_stage(agent, "whole.jsonl", "whole.json")
    monkeypatch.setattr(evaluate, "SHARD", 3)
    real, done = evaluate._rollouts, []

    def counted(agent, searcher, protocol, params, part, advance):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append([question.id for _, question in part])
        return real(agent, searcher, protocol, params, part, advance)

    monkeypatch.setattr(evaluate, "_rollouts", counted)
    with pytest.raises(KeyboardInterrupt):
        run_stage(agent)
    done.clear()
    assert run_stage(agent) == whole
    assert len(done) == 1, "the first two parts were kept"
    assert (project / "out.jsonl").read_bytes() == (project / "whole.jsonl").read_bytes()


def test_questions_without_supporting_passages_have_no_recall(project, agent):
    write_questions("test/wrong.jsonl", [Question("q", DIALOGUES[0][0], ["Ana"])])
    _, metrics = run_stage(agent)
    assert metrics["sets"]["wrong"]["recall"] == {"3": None, "20": None}
    assert metrics["sets"]["wrong"]["found"] is None
    assert metrics["sets"]["right"]["recall"]["20"] == 1


def test_no_question_set_is_one_clear_line(project, agent):
    for file in (project / "test").iterdir():
        file.unlink()
    with pytest.raises(InputError, match="test: holds no question set"):
        run_stage(agent)


def test_a_bad_question_line_is_named(project, agent):
    (project / "test/wrong.jsonl").write_text('{"id": "1", "question": "q"}\n')
    with pytest.raises(InputError, match=r"wrong\.jsonl:1: the key 'golden_answers' is missing"):
        run_stage(agent)
