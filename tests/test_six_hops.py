"""Questions of up to six hops: the world's teachers, who asks and teaches them, who answers."""

import hashlib
import re
from collections import Counter
from dataclasses import astuple
from itertools import pairwise
from pathlib import Path

import pytest

from stages.common.search import Hit
from stages.composing.compose import compose
from stages.evaluation.blocks import evaluation_rollout
from stages.language.tokenizer import make_tokenizer, world_texts
from stages.params import HOPS, MOST_HOPS, Protocol, World, load_params
from stages.plumbing.errors import InputError
from stages.ppo.blocks import training_rollout
from stages.rollout.loop import record, run, start
from stages.rollout.protocol import AgentProtocol
from stages.scripted.facts import CRAFT_OF_KIND, MAKER, TEACHER, read_fact, read_query
from stages.scripted.generator import ScriptedGenerator, next_action
from stages.studies.plan import read_study
from stages.teaching.demonstrations import demonstration, drill
from stages.teaching.judgements import (
    comparison_drill,
    relevance_demonstration,
    relevance_drill,
    sub_answer_demonstration,
)
from stages.world.questions import (
    ROLES,
    questions_for_development,
    questions_for_tests,
    questions_for_training,
    sets_of,
)
from stages.world.world import TEST, TRAIN, SyntheticWorld

ROOT = Path(__file__).parents[1]
SIZES = World(teachers=True)
WORLD = SyntheticWorld.make(3, SIZES)
TRAINING = questions_for_training(WORLD, 300, 3, development=True, hops=6)
TESTS = questions_for_tests(WORLD, 40, 3, hops=6)
DEVELOPMENT = questions_for_development(WORLD, 20, 3, ["indomain", "sixhop"], hops=6)
ON = ("corpus.world.teachers=true", "questions.hops=6", "base.hops=6")
# Of what base models are taught without the option, and of the texts that give their tokenizer.
DEMONSTRATIONS = "7f16061ac3354e4b9ccfc2692132efae6a9a5ee7fa3b2978832553740f35bf44"
TEXTS = "e2330e21f579a02cd1149fcb28303d8c5324200c542e2a7d786fc478780e8fc2"
TAUGHT = (
    demonstration,
    lambda seed: demonstration(seed, 0.7),
    drill,
    sub_answer_demonstration,
    relevance_demonstration,
    relevance_drill,
    comparison_drill,
)


def chain(question):
    return [WORLD.facts[int(number)] for (number,) in question.metadata["supporting_ids"]]


def words(asked):
    return {word for q in asked for fact in chain(q) for word in (fact.subject, fact.value)}


def test_everybody_has_one_teacher_of_the_same_craft_and_no_namesakes_share_one():
    makers = [fact for fact in WORLD.facts if fact.relation == MAKER]
    people = {(CRAFT_OF_KIND[fact.kind].profession, fact.value) for fact in makers}
    taught = [fact for fact in WORLD.facts if fact.relation == TEACHER]
    assert Counter((fact.kind, fact.subject) for fact in taught) == Counter(people)
    assert all((fact.kind, fact.value) in people and fact.value != fact.subject for fact in taught)
    assert len({(fact.subject, fact.value) for fact in taught}) == len(taught)
    assert SyntheticWorld.make(3, SIZES) == WORLD


def test_teachers_change_no_other_fact():
    def told(world):
        return {*zip(world.parts, world.facts, strict=True)}

    without = SyntheticWorld.make(3, World())
    more = told(WORLD) - told(without)
    assert told(without) < told(WORLD) and {fact.relation for _, fact in more} == {TEACHER}
    assert {part for part, _ in more} == {TRAIN, TEST}


def test_training_test_and_development_share_no_name_along_their_chains():
    tested = words(q for asked in TESTS.values() for q in asked)
    developed = {f.value for asked in DEVELOPMENT.values() for q in asked for f in chain(q)[:-2]}
    trained = {fact.subject for q in TRAINING for fact in chain(q)} | {
        fact.value for q in TRAINING for fact in chain(q) if fact.relation in (MAKER, TEACHER)
    }
    assert not tested & words(TRAINING) and not tested & developed
    assert developed and not developed & trained


@pytest.mark.parametrize("asked", [TRAINING, *TESTS.values(), *DEVELOPMENT.values()])
def test_a_chain_leads_over_different_people_to_the_answer(asked):
    assert len({q.question for q in asked}) == len(asked)
    for question in asked:
        facts = chain(question)
        assert len(facts) == question.metadata["hops"] <= MOST_HOPS
        assert all(one.value == other.subject for one, other in pairwise(facts))
        assert len({fact.subject for fact in facts}) == len(facts)
        assert question.golden_answers == [facts[-1].value]
        teachers = sum(fact.relation == TEACHER for fact in facts)
        assert question.question.count("teacher of the") == teachers
        assert facts[0].subject in question.question


def test_numbers_of_hops_are_as_frequent_as_each_other():
    assert Counter(q.metadata["hops"] for q in TRAINING) == dict.fromkeys(range(1, 7), 50)
    assert {q.metadata["hops"] for q in TESTS["sixhop"]} == {6}
    assert {q.metadata["hops"] for q in TESTS["relations"]} == {2, 3}
    assert max(q.metadata["hops"] for q in TESTS["indomain"]) == 6
    turned = {q.question for q in TESTS["rephrased"]}
    assert len(turned) == 40 and not any(
        re.search(f"({ROLES}) of", question) for question in turned
    )
    four = questions_for_training(WORLD, 40, 3, hops=4)
    assert Counter(q.metadata["hops"] for q in four) == dict.fromkeys(range(1, 5), 10)
    three = questions_for_training(WORLD, 60, 3)
    assert Counter(q.metadata["hops"] for q in three) == {1: 12, 2: 30, 3: 18}
    assert not any("teacher" in q.question for q in three)


def test_a_world_without_teachers_is_asked_no_more_than_it_tells():
    assert set(sets_of(True)) - set(sets_of(False)) == {"sixhop"}
    without = SyntheticWorld.make(3, World())
    assert "sixhop" not in questions_for_tests(without, 10, 3)
    with pytest.raises(InputError, match=r"of 6 hops, the world has 0: .*corpus\.world\.teachers"):
        questions_for_tests(without, 10, 3, ["sixhop"])
    with pytest.raises(InputError, match=r"'corpus\.world\.teachers': no teacher is left for a"):
        SyntheticWorld.make(3, World(names=20, teachers=True))


def test_the_scripted_agent_answers_six_hops_that_a_perfect_retriever_finds(limits):
    """Through the one loop, with the limits of the study: six searches, each right at once."""
    told = {}
    for number, fact in enumerate(WORLD.facts):
        told.setdefault((fact.subject, fact.relation), []).append(number)
    needed = {
        q.question: {int(number) for (number,) in q.metadata["supporting_ids"]}
        for q in (*TESTS["sixhop"], *TESTS["indomain"])
    }
    passages = WORLD.passages

    def search(requests):
        """Of all passages that say what is asked, that of the question's own chain first."""
        found = []
        for request in requests:
            places = told[read_query(request.query)]
            places = sorted(places, key=lambda n: n not in needed[request.question])[:3]
            found.append([Hit(passages[place], 1.0) for place in places])
        return found

    tokenizer = make_tokenizer(world_texts(hops=6))
    protocol = AgentProtocol(Protocol())
    asked = [*TESTS["sixhop"], *TESTS["indomain"]]
    rollouts = [start(question, protocol, tokenizer) for question in asked]
    run(rollouts, ScriptedGenerator(tokenizer), search, protocol, limits)
    lines = [record(rollout) for rollout in rollouts]
    assert [line.em for line in lines] == [1] * len(asked)
    assert [line.searches for line in lines] == [q.metadata["hops"] for q in asked]
    assert not any(turn.cut for line in lines for turn in line.turns)
    longest = max(len(rollout.token_ids) for rollout in rollouts)
    assert longest + 2 * (limits.max_turn_tokens + limits.max_information_tokens) <= (
        limits.max_context_tokens
    ), "two searches more than the hops have room in the context too"


@pytest.fixture
def limits(tmp_path, monkeypatch):
    """Those of every variant of the study."""
    monkeypatch.chdir(ROOT)
    found = set()
    study = read_study(Path("conf/study/six_hops.yaml"))
    for overrides in {one.overrides for one in study.experiments}:
        compose(tmp_path / "params.yaml", list(overrides))
        params = load_params(tmp_path / "params.yaml")
        assert training_rollout(params) == params.rollout == evaluation_rollout(params)
        assert params.rollout.new_results_only and params.rollout.max_searches == 8
        found.add(astuple(params.rollout))
    assert len(found) == 1, "variants differ in labels and input alone"
    return params.rollout


def test_without_the_option_nothing_that_models_are_taught_has_changed():
    """Of the base models in git: a change of one draw would make other models."""
    digest = hashlib.sha256()
    for make in TAUGHT:
        for seed in range(300):
            for segment in make(f"x{seed}"):
                digest.update(f"{segment.own}{segment.text}\0".encode())
    assert digest.hexdigest() == DEMONSTRATIONS
    texts = "".join(f"{text}\0" for text in world_texts())
    assert hashlib.sha256(texts.encode()).hexdigest() == TEXTS


def test_demonstrations_of_six_hops_are_the_scripted_searchers():
    hops = Counter()
    for seed in range(300):
        text, stems = "", set()
        for segment in demonstration(seed, hops=6):
            if segment.own:
                assert next_action(text) == segment.text
                fact = read_fact(segment.text.partition(" </think>")[0].removeprefix("<think> "))
                stems |= {fact.key} if fact else set()
            text += segment.text
        hops[len(stems)] += 1
    assert set(hops) == set(range(1, 7))


def test_six_hops_are_taught_with_what_a_retriever_confuses():
    """Pupils of the person asked for, and what was found the search before."""
    pupils = before = 0
    for seed in range(300):
        texts = [segment.text for segment in demonstration(seed, hops=6)]
        for turn, info in zip(texts[1::2], texts[2::2], strict=False):
            name, relation = read_query(turn.partition("<search> ")[2].partition(" </")[0])
            facts = [read_fact(line) for line in info.splitlines() if line.startswith("The ")]
            if relation == TEACHER:
                told = read_fact(turn.partition("<think> ")[2].partition(" </think>")[0])
                pupils += any(f.relation == TEACHER and f.value == name for f in facts)
                before += told in facts
    assert pupils > 50 and before > 20


def test_a_judge_is_taught_to_grade_teachers():
    graded = Counter()
    for seed in range(300):
        _, reply = relevance_demonstration(seed, hops=6)
        taught = [line for line in reply.text.splitlines() if " taught " in line]
        graded.update(line.rpartition(" ")[2] for line in taught)
    assert set(graded) >= {"100", "80", "40", "0"}
    known = make_tokenizer(world_texts(hops=6))
    for make in (demonstration, sub_answer_demonstration, relevance_demonstration):
        lengths = []
        for seed in range(200):
            whole = "".join(segment.text for segment in make(f"other {seed}", hops=6))
            lengths.append(len(known.encode(whole)))
            assert known.decode(known.encode(whole)) == whole
        assert max(lengths) < known.model_max_length
    assert len(known.encode(" taught teacher")) == 2


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("questions.hops=7", *ON[::2]), "'questions.hops' must be from 1 to 6"),
        (("base.hops=2",), "'base.hops' must be from 3 to 6"),
        (
            ("questions.hops=4", "base.hops=6"),
            "'questions.hops' asks for teachers, whom the",
        ),
        (
            ON[:2],
            "'questions.hops' is more than a model made from scratch is taught: see 'base.hops'",
        ),
        (
            (*ON[:2], "+base.agent.model=a/b", "visits.source=off"),
            "'questions.hops' is more than a model made from scratch",
        ),
        (
            (ON[0], "questions.sets=[sixhop]"),
            "'base.hops' .3. teaches models made from scratch of no teachers",
        ),
        (("questions.sets=[sixhop]",), "of 6 hops, the world has 0"),
    ],
)
def test_what_cannot_be_asked_is_told_before_the_run(tmp_path, monkeypatch, overrides, message):
    monkeypatch.chdir(ROOT)
    with pytest.raises(InputError, match=message):
        compose(tmp_path / "params.yaml", list(overrides))
    assert HOPS == 3
