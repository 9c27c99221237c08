"""The labelling stages on real, tiny models: candidates, relevance, correctness, pairs."""

import json
import re
from pathlib import Path

import label_world as world
import pytest
from judge_server import Served, serving
from label_world import arguments, set_params, write_relevance

from stages import candidates, correctness, pairs, relevance
from stages.common.records import read_json, read_jsonl, write_jsonl
from stages.common.search import SearchRequest
from stages.engines.generator import TransformersGenerator
from stages.gac import rollouts as gac
from stages.judge.judging import with_noise
from stages.params import Compute
from stages.plumbing.errors import InputError
from stages.retrieval.searcher import load_searcher
from stages.running import scratch
from stages.scoring import exact_match


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The world, its trajectories and candidates, and two judges: one taught, one random."""
    path = tmp_path_factory.mktemp("labels")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(path)
        world.build(path)
        world.teach(path / "judge", world.judging, steps=100)
        world.teach(path / "random", world.grading, steps=0)
        candidates.main(arguments("candidates"))
    return path


@pytest.fixture
def place(built, monkeypatch):
    """The working folder, with the committed parameters."""
    monkeypatch.chdir(built)
    set_params()
    return built


def balanced(file: str) -> dict:
    """The figures in `file`, their counts checked."""
    metrics = read_json(file)
    assert metrics["in"] == metrics["out"] + sum(metrics["dropped"].values())
    return metrics


# candidates


def test_candidates_are_the_top_of_every_searched_query(place):
    rows = {row["id"]: row for row in read_jsonl("candidates.jsonl")}
    searcher = load_searcher("index", "passages.jsonl", "retriever", Compute())
    searched = 0
    for trajectory in read_jsonl("trajectories.jsonl"):
        history = []
        for number, turn in enumerate(trajectory["turns"]):
            if turn["query"] is None:
                continue
            row = rows[f"{trajectory['id']}#{number}"]
            request = SearchRequest(trajectory["question"], tuple(history), turn["query"])
            assert row["history"] == history and row["turn"] == number
            assert [c["id"] for c in row["candidates"]] == [
                hit.passage.id for hit in searcher.search([request], 20)[0]
            ]
            assert [c["id"] for c in row["candidates"][:3]] == [p["id"] for p in turn["passages"]]
            history.append(turn["query"])
            searched += 1
    assert len(rows) == searched > len(world.QUESTIONS)


def test_queries_with_too_few_candidates_are_dropped(place):
    set_params(candidates={"top_k": len(world.NOTES) + 1})
    candidates.main(arguments("candidates", output="few.jsonl", metrics="few.json"))
    metrics = balanced("few.json")
    assert metrics["out"] == 0 and metrics["dropped"]["few_candidates"] == metrics["in"] > 0
    assert read_jsonl("few.jsonl") == []


# relevance


def test_a_judge_grades_every_candidate(place):
    relevance.main(arguments("relevance", output="judged.jsonl", metrics="judged.json"))
    metrics = balanced("judged.json")
    rows = read_jsonl("judged.jsonl")
    by_id = {row["id"]: row for row in read_jsonl("candidates.jsonl")}
    assert rows and metrics["out"] == len(rows)
    for row in rows:
        assert list(row["scores"]) == [c["id"] for c in by_id[row["id"]]["candidates"]]
        assert all(0 <= score <= 100 for score in row["scores"].values())


def test_retries_do_not_depend_on_batches(place):
    first = Path("judged.jsonl")
    if not first.exists():
        relevance.main(arguments("relevance", output="judged.jsonl", metrics="judged.json"))
    set_params(compute={"generation_batch": 3, "threads": 1})
    relevance.main(arguments("relevance", output="again.jsonl", metrics="again.json"))
    assert Path("again.jsonl").read_bytes() == first.read_bytes()


def test_a_judge_behind_an_endpoint_gives_the_same_bytes(place):
    """First tries are greedy; the retries draw alike because this server draws as we do."""
    relevance.main(arguments("relevance"))
    served = Served("judge", "judge")
    with serving(served) as url:
        set_params(compute={"judge_url": url, "threads": 1})
        relevance.main(arguments("relevance", output="served.jsonl", metrics="served.json"))
    assert Path("served.jsonl").read_bytes() == Path("relevance.jsonl").read_bytes()
    assert read_json("served.json") == read_json("relevance.json")
    assert {body["temperature"] for body in served.requests} == {0.0, 0.7}, "some were retried"


def test_unreadable_grades_drop_the_query_and_are_counted(place):
    relevance.main(
        arguments("relevance", judge="random", output="random.jsonl", metrics="random.json")
    )
    metrics = balanced("random.json")
    trajectories = {row["question_id"] for row in read_jsonl("candidates.jsonl")}
    assert metrics["out"] == 0 and sum(metrics["dropped"].values()) == metrics["in"]
    assert sum(metrics["sub_answers_failed"].values()) == len(trajectories)
    assert metrics["with_sub_answer"] == 0
    assert metrics["sub_answer_retries"] == 2 * len(trajectories)
    failed = read_jsonl("random.failed.jsonl", ("id", "reply", "reason", "tries"))
    assert {row["tries"] for row in failed} == {3} and all(row["reply"] for row in failed)
    steps = [row["id"].partition("/")[0] for row in failed]
    assert steps.count("sub-answers") == len(trajectories)
    graded = {row["id"].split("/")[1] for row in failed if row["id"].startswith("relevance/")}
    assert graded == {row["id"] for row in candidate_rows()}


def test_a_judge_that_loses_too_much_fails_with_its_replies_kept(place, monkeypatch):
    """And goes on from there, without the judge, once it may lose as much."""
    set_params(relevance={"max_dropped": 0.05})
    files = arguments("relevance", judge="random", output="lost.jsonl", metrics="lost.json")
    with pytest.raises(InputError) as error:
        relevance.main(files)
    count = len(candidate_rows())
    said = str(error.value)
    assert said.startswith(f"relevance@1: {count} of {count} queries were lost")
    reasons = read_json("lost.json")["dropped"]
    most = max(reasons, key=reasons.get)
    assert f"{most}: {reasons[most]}" in said and "'relevance.max_dropped'" in said
    assert "lost.failed.jsonl" in said and "\n" not in said
    kept = Path("lost.failed.jsonl").read_bytes()
    assert len(read_jsonl("lost.failed.jsonl")) >= count and read_jsonl("lost.jsonl") == []
    set_params(relevance={"max_dropped": 1.0})
    monkeypatch.setattr(relevance, "_build", lambda *_: pytest.fail("a judge is loaded"))
    relevance.main(files)
    assert Path("lost.failed.jsonl").read_bytes() == kept


def unread_sub_answers(**changes) -> list[str]:
    """Arguments of a run whose sub-answers no pattern reads, and whose grades are read."""
    prompt = (world.REPO / "stages/prompts/sub_answers_short.yaml").read_text()
    Path("unread.yaml").write_text(prompt.replace("pattern: '^", "pattern: '^never "))
    set_params(relevance={"sub_answer_prompt": "unread.yaml"} | changes)
    return arguments("relevance", output="unread.jsonl", metrics="unread.json")


def test_queries_without_their_reference_are_lost_too(place):
    files = unread_sub_answers(max_dropped=0.05)
    with pytest.raises(InputError) as error:
        relevance.main(files)
    metrics, said = balanced("unread.json"), str(error.value)
    count = metrics["in"]
    [why] = metrics["sub_answers_failed"]
    assert metrics["out"] > 0 and metrics["with_sub_answer"] == 0
    assert said.startswith(f"relevance@1: {count} of {count} queries were lost")
    assert f"sub-answer {why}: {metrics['out']}" in said and "'relevance.max_dropped'" in said
    relevance.main(unread_sub_answers(max_dropped=1.0))


def test_a_stage_that_reads_all_replies_leaves_an_empty_file(place):
    set_params(relevance={"mode": "off"})
    relevance.main(arguments("relevance", output="silent.jsonl", metrics="silent.json"))
    assert Path("silent.failed.jsonl").read_bytes() == b""


def test_rollouts_without_room_are_counted_and_limited(place):
    """A window that holds the trajectory's first turns and no more: its 0s say nothing."""
    write_relevance(0)
    set_params(rollout={"max_context_tokens": 60})
    with pytest.raises(InputError, match=r"^correctness@1: \d+ of \d+ rollouts were lost.*length"):
        correctness.main(arguments("correctness", output="short.jsonl", metrics="short.json"))
    metrics = balanced("short.json")
    assert metrics["lost"]["length"] > 0.05 * metrics["rollouts"]
    set_params(rollout={"max_context_tokens": 60}, correctness={"max_dropped": 1.0})
    correctness.main(arguments("correctness", output="again.jsonl", metrics="again.json"))
    assert Path("again.jsonl").read_bytes() == Path("short.jsonl").read_bytes()
    set_params()
    correctness.main(arguments("correctness", output="long.jsonl", metrics="long.json"))
    assert balanced("long.json")["lost"] == {}


def test_a_prompt_beyond_the_judges_window_is_counted(place):
    world.teach(place / "narrow", world.grading, steps=0, context=60)
    relevance.main(
        arguments("relevance", judge="narrow", output="narrow.jsonl", metrics="narrow.json")
    )
    assert balanced("narrow.json")["dropped"] == {"prompt_too_long": len(candidate_rows())}


def test_a_missing_prompt_file_is_named(place):
    set_params(relevance={"prompt": "none.yaml"})
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read"):
        relevance.main(arguments("relevance"))


def test_a_missing_input_is_named(place):
    with pytest.raises(InputError, match=r"none\.jsonl: cannot be read"):
        relevance.main(arguments("relevance", trajectories="none.jsonl"))


def test_relevance_off_asks_no_judge(place):
    set_params(relevance={"mode": "off"})
    relevance.main(
        arguments("relevance", judge="nowhere", output="off.jsonl", metrics="off_relevance.json")
    )
    assert balanced("off_relevance.json")["out"] == len(candidate_rows())
    assert {row["scores"] for row in read_jsonl("off.jsonl")} == {None}


def test_without_sub_answers_the_judge_has_no_reference(place):
    set_params(relevance={"sub_answers": False})
    relevance.main(arguments("relevance", output="alone.jsonl", metrics="alone.json"))
    metrics = balanced("alone.json")
    assert metrics["with_sub_answer"] == metrics["sub_answer_retries"] == 0
    assert {row["sub_answer"] for row in read_jsonl("alone.jsonl")} == {None}


def test_noise_replaces_a_share_of_the_grades():
    clean = {"id": "q#0", "scores": {f"p{n}": 50 for n in range(1000)}, "noised": 0}
    assert with_noise(clean, 0.0, 0) == clean
    some, more = with_noise(clean, 0.3, 0), with_noise(clean, 0.6, 0)
    changed = {p for p, score in some["scores"].items() if score != 50}
    assert 250 < some["noised"] == len(changed) < 350
    assert all(more["scores"][p] == some["scores"][p] for p in changed), "the same, and more"
    assert with_noise(clean, 0.3, 1)["scores"] != some["scores"]
    dropped = {"id": "q#1", "scores": None, "noised": 0}
    assert with_noise(dropped, 0.3, 0) == dropped


def test_an_id_that_occurs_twice_is_named(place):
    twice = read_jsonl("trajectories.jsonl")
    write_jsonl("twice.jsonl", [*twice, twice[0]])
    with pytest.raises(
        InputError, match=rf"twice\.jsonl:{len(twice) + 1}: the id '.*' occurs twice"
    ):
        relevance.main(arguments("relevance", trajectories="twice.jsonl"))
    rows = candidate_rows()
    write_jsonl("twice.jsonl", [*rows, rows[0]])
    with pytest.raises(InputError, match="occurs twice"):
        relevance.main(arguments("relevance", candidates="twice.jsonl"))


# correctness and pairs


@pytest.mark.parametrize("seed", range(3))
def test_lazy_and_exhaustive_give_the_same_bytes(place, seed):
    write_relevance(seed)
    for mode in ("lazy", "exhaustive"):
        set_params(correctness={"mode": mode})
        correctness.main(arguments("correctness", output=f"{mode}.jsonl", metrics=f"{mode}.json"))
        pairs.main(arguments("pairs", correctness=f"{mode}.jsonl", output=f"{mode}_pairs.jsonl"))
    assert Path("lazy_pairs.jsonl").read_bytes() == Path("exhaustive_pairs.jsonl").read_bytes()
    lazy, exhaustive = balanced("lazy.json"), balanced("exhaustive.json")
    assert 0 < exhaustive["correct"] < exhaustive["evaluated"] == exhaustive["rollouts_exhaustive"]
    assert lazy["rollouts"] < exhaustive["rollouts"] <= exhaustive["rollouts_exhaustive"]
    assert lazy["rollouts"] + lazy["rollouts_saved"] == lazy["rollouts_exhaustive"]
    assert read_jsonl("lazy_pairs.jsonl")


def test_gac_is_what_a_plain_loop_over_texts_gives(place):
    """Independent of the rollout code: texts, regular expressions, one prompt at a time."""
    write_relevance(0)
    set_params(correctness={"mode": "exhaustive"})
    correctness.main(arguments("correctness"))
    agent = TransformersGenerator("agent")
    searcher = load_searcher("index", "passages.jsonl", "retriever", Compute())
    trajectories = {row["id"]: row for row in read_jsonl("trajectories.jsonl")}
    rows = candidate_rows()
    notes = {note.id: note.text for note in world.NOTES}
    later = next(row for row in rows if row["turn"] == 4)  # the last search of five: one turn left
    for row in (rows[0], later):
        scores = next(r["scores"] for r in read_jsonl("correctness.jsonl") if r["id"] == row["id"])
        trajectory = trajectories[row["question_id"]]
        for passage in list(scores)[:8]:
            answer = plain_loop(trajectory, row["turn"], notes[passage], agent, searcher)
            assert scores[passage] == exact_match(answer, trajectory["golden_answers"])


def plain_loop(trajectory, turn, note, agent, searcher) -> str | None:
    text = f"Question: {trajectory['question']}\n"
    for earlier in trajectory["turns"][:turn]:
        text += earlier["text"] + earlier["information"]
    text += trajectory["turns"][turn]["text"] + f"\n<information>\n{note}\n</information>\n"
    for searches in range(turn + 1, 7):
        ids = agent.tokenizer.encode(text)
        out = agent.generate([ids], stop=["</search>", "</answer>"], max_new_tokens=32)[0]
        written = agent.tokenizer.decode(out)
        if answer := re.search("<answer>(.*?)</answer>", written):
            return answer[1].strip()
        query = re.search("<search>(.*?)</search>", written)
        if searches == 5 or not query:
            return None
        request = SearchRequest(trajectory["question"], (), query[1].strip())
        found = "".join(f"{hit.passage.text}\n" for hit in searcher.search([request], 3)[0])
        text += f"{written}\n<information>\n{found}</information>\n"
    return None


def test_a_killed_run_goes_on_where_it_was(place, monkeypatch):
    write_relevance(1)
    correctness.main(arguments("correctness", output="whole.jsonl", metrics="whole.json"))
    monkeypatch.setattr(correctness, "SHARD", 8)
    calls, real = [], gac.loop.run

    def run(rollouts, *rest, **options):
        calls.append(len(rollouts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        real(rollouts, *rest, **options)

    monkeypatch.setattr(gac.loop, "run", run)
    with pytest.raises(KeyboardInterrupt):
        correctness.main(arguments("correctness"))
    correctness.main(arguments("correctness"))
    done = read_json("whole.json")["rollouts"]
    assert sum(calls) - calls[2] == done, "a finished shard was computed again"
    assert Path("correctness.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()
    assert read_json("correctness.json") == read_json("whole.json")
    assert list(scratch.ROOT.glob("correctness*")) == []


@pytest.mark.parametrize("cheaper", [{"top": 4}, {"whole_levels": False}])
def test_a_cheaper_lazy_evaluation_gives_fewer_positives(place, cheaper):
    write_relevance(0)
    for name, changes in (("whole", {}), ("cheap", cheaper)):
        set_params(correctness=changes)
        correctness.main(arguments("correctness", output=f"{name}.jsonl", metrics=f"{name}.json"))
    whole, cheap = read_jsonl("whole.jsonl"), read_jsonl("cheap.jsonl")
    for all_levels, some in zip(whole, cheap, strict=True):
        assert some["scores"].items() <= all_levels["scores"].items()
        assert len(some["scores"]) <= cheaper.get("top", 20)
        assert sum(some["scores"].values()) <= (1 if "whole_levels" in cheaper else 4)
    metrics, exact = balanced("cheap.json"), balanced("whole.json")
    for key in ("rollouts", "written_tokens", "read_tokens"):
        assert 0 < metrics[key] < exact[key]


def test_equal_contexts_share_a_rollout(place):
    write_relevance(2)
    rows = read_jsonl("trajectories.jsonl")
    twin = {**rows[0], "id": "twin"}
    write_jsonl("twins.jsonl", [rows[0], twin])
    candidates.main(
        arguments("candidates", trajectories="twins.jsonl", output="t.jsonl", metrics="t.json")
    )
    labels = {r["id"].partition("#")[2]: r for r in read_jsonl("relevance.jsonl")[:1]}
    write_jsonl("tr.jsonl", ({**labels["0"], "id": i} for i in (f"{rows[0]['id']}#0", "twin#0")))
    files = {"candidates": "t.jsonl", "relevance": "tr.jsonl", "trajectories": "twins.jsonl"}
    set_params(correctness={"mode": "exhaustive"})
    correctness.main(arguments("correctness", **files, output="tc.jsonl", metrics="tc.json"))
    metrics = balanced("tc.json")
    assert (metrics["rollouts"], metrics["evaluated"]) == (20, 40)


def test_instances_hold_what_training_needs(place):
    write_relevance(3)
    correctness.main(arguments("correctness"))
    pairs.main(arguments("pairs"))
    metrics = balanced("pairs.json")
    rows = {row["id"]: row for row in candidate_rows()}
    instances = read_jsonl("pairs.jsonl")
    assert metrics["instances"] == len(instances)
    assert metrics["positive_selection_rate"] == round(metrics["out"] / metrics["in"], 4)
    negatives: dict[str, list] = {}
    for instance in instances:
        query = instance["id"].rpartition("/")[0]
        row, positive = rows[query], instance["positive"]
        ids = [negative["id"] for negative in instance["negatives"]]
        assert (positive["gac"], positive["lr"] >= 60) == (1, True)
        assert instance["query"] == row["query"] and instance["history"] == row["history"]
        assert len(set(ids)) == 15 and positive["id"] not in ids
        assert set(ids) | {positive["id"]} <= {c["id"] for c in row["candidates"]}
        assert not set(instance["siblings"]) & {positive["id"], *ids}
        assert negatives.setdefault(query, ids) == ids
        assert positive["text"] == world.NOTES[int(positive["id"][1:])].contents


@pytest.mark.parametrize("mode", ["lazy", "exhaustive"])
def test_without_a_query_left_the_stage_writes_nothing(place, mode):
    for file in ("none.jsonl", "relevance.jsonl"):
        Path(file).write_text("")
    set_params(correctness={"mode": mode})
    correctness.main(arguments("correctness", candidates="none.jsonl"))
    assert read_jsonl("correctness.jsonl") == [] and balanced("correctness.json")["in"] == 0


@pytest.mark.parametrize(
    ("off", "absent", "present"), [("relevance", "lr", "gac"), ("correctness", "gac", "lr")]
)
def test_an_ablation_leaves_one_signal_out(place, off, absent, present):
    write_relevance(0)
    set_params(**{off: {"mode": "off"}}, pairs={"negatives": 2})
    if off == "relevance":
        relevance.main(arguments("relevance"))
    correctness.main(arguments("correctness"))
    pairs.main(arguments("pairs"))
    balanced("correctness.json")
    for instance in read_jsonl("pairs.jsonl"):
        assert instance["positive"][absent] is None and instance["positive"][present] is not None


def test_nothing_selected_is_one_clear_line(place):
    rows = candidate_rows()
    for file in ("relevance.jsonl", "correctness.jsonl"):
        zeros = [{c["id"]: 0 for c in row["candidates"]} for row in rows]
        write_jsonl(file, ({"id": r["id"], "scores": z} for r, z in zip(rows, zeros)))
    with pytest.raises(InputError) as error:
        pairs.main(arguments("pairs"))
    message = str(error.value)
    assert message.startswith("pairs@1") and "\n" not in message
    assert f"{len(rows)} queries" in message and "metrics/relevance" in message


def test_no_query_at_all_is_one_clear_line(place):
    for file in ("empty.jsonl", "relevance.jsonl", "correctness.jsonl"):
        Path(file).write_text("")
    with pytest.raises(InputError, match=r"pairs@1.*no query came in"):
        pairs.main(arguments("pairs", candidates="empty.jsonl"))


def test_files_of_different_runs_are_refused(place):
    write_relevance(0)
    rows = read_jsonl("relevance.jsonl")
    write_jsonl("other.jsonl", [{**rows[0], "id": "other#0"}])
    with pytest.raises(InputError, match=r"other\.jsonl.*other#0"):
        correctness.main(arguments("correctness", relevance="other.jsonl"))


def candidate_rows() -> list[dict]:
    return [json.loads(line) for line in Path("candidates.jsonl").read_text().splitlines()]


# by what the agent used


def write_visits(used: int) -> list[str]:
    """Visits of the first candidate of the first `used` queries; the queries that have one."""
    rows = candidate_rows()
    write_jsonl(
        "visits.jsonl",
        (
            {
                "id": row["id"],
                "em": 1,
                "shown": [each["id"] for each in row["candidates"][:3]],
                "visits": [row["candidates"][0]["id"]] if number < used else [],
                "reasoning": 3,
            }
            for number, row in enumerate(rows)
        ),
    )
    return [row["id"] for row in rows[:used]]


def test_a_query_with_a_visit_takes_no_rollout_and_the_others_as_many_as_ever(place):
    write_relevance(0)
    visited = write_visits(6)
    correctness.main(arguments("correctness", output="all.jsonl", metrics="all.json"))
    set_params(pairs={"source": "visits_then_gac"}, visits={"source": "restated"})
    correctness.main(arguments("correctness", output="spared.jsonl", metrics="spared.json"))
    every = {row["id"]: row["scores"] for row in read_jsonl("all.jsonl")}
    spared = {row["id"]: row["scores"] for row in read_jsonl("spared.jsonl")}
    assert any(every[query] for query in visited), "or nothing could be saved"
    assert spared == {query: {} if query in visited else s for query, s in every.items()}
    counts = balanced("spared.json")
    assert counts["visited"] == 6 and "visited" not in balanced("all.json")
    assert counts["evaluated"] == sum(map(len, spared.values())) < balanced("all.json")["evaluated"]
    files = {"correctness": "spared.jsonl", "output": "then.jsonl", "metrics": "then.json"}
    pairs.main(arguments("pairs", **files))
    assert balanced("then.json")["visited"] == 6
    mine = {row["id"].rpartition("/")[0]: row for row in read_jsonl("then.jsonl")}
    assert {query for query, row in mine.items() if row["positive"]["gac"] is None} == {*visited}
    set_params()
    pairs.main(arguments("pairs", correctness="all.jsonl", output="gac.jsonl"))
    theirs = [r for r in read_jsonl("gac.jsonl") if r["id"].rpartition("/")[0] not in visited]
    others = [r for r in read_jsonl("then.jsonl") if r["id"].rpartition("/")[0] not in visited]
    assert theirs == others


@pytest.mark.parametrize("weights", [{"tier_weights": {}}, {"instance_weights": True}])
def test_no_label_is_made_for_weights_that_its_pairs_cannot_have(place, weights):
    set_params(retriever=weights)
    for stage, models in ((relevance, {"judge": "nowhere"}), (correctness, {"agent": "nowhere"})):
        with pytest.raises(InputError, match=r"^params.yaml: 'retriever\.[a-z_]*weights' weighs"):
            stage.main(arguments(stage.__name__.removeprefix("stages."), **models))
    with pytest.raises(InputError, match=r"^params.yaml: 'retriever\.[a-z_]*weights' weighs"):
        pairs.main(arguments("pairs"))


def test_visits_alone_need_neither_judge_nor_rollout(place):
    set_params(
        relevance={"mode": "off"},
        correctness={"mode": "off"},
        visits={"source": "restated"},
        pairs={"source": "visits", "negatives": 2},
    )
    visited = write_visits(4)
    relevance.main(arguments("relevance", judge="nowhere"))
    correctness.main(arguments("correctness", agent="nowhere"))
    pairs.main(arguments("pairs"))
    rows = {row["id"].rpartition("/")[0]: row for row in read_jsonl("pairs.jsonl")}
    assert [*rows] == visited
    shown = {row["id"]: [c["id"] for c in row["candidates"][:3]] for row in candidate_rows()}
    for query, row in rows.items():
        assert [row["positive"]["id"], *(n["id"] for n in row["negatives"])] == shown[query]
        assert row["positive"]["lr"] is row["positive"]["gac"] is None
    counts = balanced("pairs.json")
    assert counts["dropped"]["no_visit"] == counts["in"] - 4 and counts["visited"] == 4
