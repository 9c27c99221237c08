"""The world: sizes, namesakes, the split, questions and what their passages say."""

import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages import params
from stages.plumbing.errors import InputError
from stages.scripted.facts import (
    CRAFTS,
    MAKER,
    PERSONAL,
    TRAINING_RELATIONS,
    UNKNOWN,
    Fact,
    read_fact,
    read_query,
)
from stages.scripted.generator import next_action
from stages.teaching.demonstrations import demonstration, drill, information_segment
from stages.teaching.grades import true_grade
from stages.teaching.judgements import (
    NO_REFERENCE,
    relevance_demonstration,
    relevance_drill,
    sub_answer,
    sub_answer_demonstration,
)
from stages.world.questions import (
    questions_for_development,
    questions_for_tests,
    questions_for_training,
)
from stages.world.vocabulary import KNOWN, SUFFIXES, word, words
from stages.world.world import TEST, SyntheticWorld

SIZES = params.World(names=20)
WORLD = SyntheticWorld.make(3, SIZES)
TRAINING = questions_for_training(WORLD, 60, seed=3)
TESTS = questions_for_tests(WORLD, 16, seed=3)
SETS = {"train": TRAINING, **TESTS}


def about(questions) -> set:
    """The names and the fact chains' first passages that questions need."""
    facts = [WORLD.facts[int(q.metadata["supporting_ids"][0][0])] for q in questions]
    return {fact.value for fact in facts} | {(fact.subject, fact.kind) for fact in facts}


def test_development_sets_share_no_name_and_no_chain_with_training_or_test():
    sets = questions_for_development(WORLD, 6, seed=3)
    training = questions_for_training(WORLD, 60, seed=3, development=True)
    assert set(sets) == set(TESTS) and {len(part) for part in sets.values()} == {6}
    developed = about([q for part in sets.values() for q in part])
    tested = about([q for part in TESTS.values() for q in part])
    assert developed and not developed & tested and not developed & about(training)
    assert developed & about(TRAINING), "without such sets their names are trained on"
    assert [q.question for q in sets["wording"]] == [
        f"{q.question.removesuffix('?')} in the end?" for q in sets["indomain"]
    ]
    assert questions_for_development(WORLD, 0, seed=3) == {}
    assert questions_for_development(WORLD, 6, seed=3) == sets


def test_words_differ_and_a_longer_list_goes_on_with_the_shorter():
    for kind in SUFFIXES:
        long = words(kind, 7000)
        assert len(set(long)) == len(long)
        assert words(kind, 40) == long[:40]
    assert len({word(kind, n) for kind in SUFFIXES for n in range(200)}) == 200 * len(SUFFIXES)


def test_the_laptop_world_has_only_words_that_the_tokenizer_knows():
    sizes = params.World()
    asked = [sizes.names, sizes.cities, sizes.countries, sizes.universities, sizes.prizes]
    kinds = ["name", "city", "country", "university", "prize"]
    for kind, count in zip(kinds, asked, strict=True):
        assert count <= KNOWN[kind]
    assert sizes.title_words <= min(KNOWN["first_title"], KNOWN["second_title"])


def test_a_world_depends_on_its_seed_alone():
    assert SyntheticWorld.make(3, SIZES) == WORLD != SyntheticWorld.make(4, SIZES)


def test_a_world_survives_its_file(tmp_path):
    WORLD.save(tmp_path / "world.json")
    assert SyntheticWorld.load(tmp_path / "world.json") == WORLD
    (tmp_path / "other.json").write_text('{"facts": [{}]}')
    with pytest.raises(InputError, match=r"other\.json"):
        SyntheticWorld.load(tmp_path / "other.json")


def test_namesakes_have_different_crafts_and_values():
    bearers = Counter(fact.value for fact in WORLD.facts if fact.relation == MAKER)
    assert len(bearers) == SIZES.names
    assert set(bearers.values()) <= set(range(SIZES.namesakes_min, SIZES.namesakes_max + 1))
    for relation in PERSONAL:
        for name, count in bearers.items():
            told = [f for f in WORLD.facts if (f.subject, f.relation) == (name, relation)]
            assert len(told) == len({f.value for f in told}) == len({f.kind for f in told}) == count


def test_every_fact_is_read_back_from_its_passage_its_thought_and_its_queries():
    for fact, passage in zip(WORLD.facts, WORLD.passages, strict=True):
        assert read_fact(passage.contents) == read_fact(f"{fact.stem} {fact.value}") == fact
        assert read_query(fact.query) == (fact.subject, fact.relation)
        assert read_query(fact.reformulation) == (fact.subject, fact.relation)


def test_no_entity_is_in_a_training_question_and_in_a_test_question():
    def entities(questions):
        ids = [ids for question in questions for ids in question.metadata["supporting_ids"]]
        facts = [WORLD.facts[int(number)] for (number,) in ids]
        return {word for fact in facts for word in (fact.subject, fact.value)}

    seen = entities(TRAINING)
    for questions in TESTS.values():
        assert not seen & entities(questions)


def test_the_halves_share_no_fact_but_one_corpus():
    told = {part: set() for part in WORLD.parts}
    for part, fact in zip(WORLD.parts, WORLD.facts, strict=True):
        told[part] |= {fact.subject, fact.value}
    assert not told["train"] & told[TEST]
    assert len(WORLD.passages) == len(WORLD.facts) == len({p.id for p in WORLD.passages})


@pytest.mark.parametrize("name", SETS)
def test_supporting_passages_lead_from_the_question_to_its_answer(name):
    texts = {passage.id: passage.contents for passage in WORLD.passages}
    for question in SETS[name]:
        facts = [read_fact(texts[i]) for (i,) in question.metadata["supporting_ids"]]
        assert len(facts) == question.metadata["hops"]
        assert facts[0].subject in question.question
        assert all(a.value == b.subject for a, b in pairwise(facts))
        assert question.golden_answers == [facts[-1].value]


def test_sets_are_unique_ordered_mixtures_of_the_right_relations():
    for questions in SETS.values():
        assert len({q.question for q in questions}) == len(questions)
        assert len({q.id for q in questions}) == len(questions)
    assert Counter(q.metadata["hops"] for q in TRAINING) == {1: 12, 2: 30, 3: 18}
    assert {q.metadata["hops"] for q in TESTS["singlehop"]} == {1}
    for question in TESTS["relations"]:
        second = WORLD.facts[int(question.metadata["supporting_ids"][1][0])]
        assert second.relation not in TRAINING_RELATIONS


def test_other_wordings_ask_the_same_questions():
    for asked, ended, turned in zip(
        TESTS["indomain"], TESTS["wording"], TESTS["rephrased"], strict=True
    ):
        assert asked.metadata == ended.metadata == turned.metadata
        assert asked.golden_answers == ended.golden_answers == turned.golden_answers
        assert ended.question == f"{asked.question[:-1]} in the end?"
        assert sorted(asked.question[:-1].split()) == sorted(
            [*turned.question[:-1].split(), "of", "the"]
        )
    chosen = questions_for_tests(WORLD, 16, 3, ["singlehop", "indomain"])
    assert chosen == {name: TESTS[name] for name in ("singlehop", "indomain")}
    with pytest.raises(InputError, match=r"'questions\.sets': no set 'fourhop', only indomain"):
        questions_for_tests(WORLD, 16, 3, ["fourhop"])


def test_sizes_that_contradict_each_other_are_named():
    with pytest.raises(InputError, match="city"):
        SyntheticWorld.make(0, params.World(names=20, cities=10))
    with pytest.raises(InputError, match="title_words"):
        SyntheticWorld.make(0, params.World(names=20, title_words=5))
    with pytest.raises(InputError, match="namesakes_min"):
        SyntheticWorld.make(0, params.World(names=20, namesakes_max=9, cities=60))
    with pytest.raises(InputError, match="ask fewer"):
        questions_for_training(WORLD, 5000, seed=0)


def test_the_scripted_searcher_acts_as_every_demonstration():
    for seed in range(300):
        text = ""
        for segment in demonstration(seed):
            if segment.own:
                assert next_action(text) == segment.text
            text += segment.text


def test_an_unknown_question_is_given_up():
    assert f"<answer> {UNKNOWN} </answer>" in next_action("Question: what is love?\n")


def test_demonstrations_restate_only_what_they_were_shown():
    for seed in range(300):
        shown = ""
        for segment in demonstration(seed):
            if segment.own:
                fact = read_fact(segment.text.partition(" </think>")[0].removeprefix("<think> "))
                assert fact is None or fact.value == UNKNOWN or fact.text in shown
            else:
                shown += segment.text


def test_demonstrations_hold_every_kind_of_distractor():
    same_name = other_craft = same_kind = shared_word = alone = 0
    for seed in range(400):
        texts = [segment.text for segment in demonstration(seed)]
        for turn, info in zip(texts[1::2], texts[2::2], strict=False):
            name, relation = read_query(turn.partition("<search> ")[2].partition(" </")[0])
            facts = [read_fact(line) for line in info.splitlines() if line.startswith("The ")]
            alone += len(facts) == 1
            for fact in facts:
                same_name += relation in PERSONAL and fact.subject == name
                other_craft += fact.relation == relation in PERSONAL and fact.subject != name
                if relation == MAKER == fact.relation and fact.subject != name:
                    shared_word += bool(set(name.split()) & set(fact.subject.split()))
                    same_kind += not set(name.split()) & set(fact.subject.split())
    assert min(same_name, other_craft, same_kind, shared_word, alone) > 50


def test_no_scene_depends_on_anything_but_its_seed():
    for make in (demonstration, drill, sub_answer_demonstration, relevance_demonstration):
        assert make("a") == make("a") != make("b")


def test_drills_ask_for_what_is_shown_or_unknown():
    for seed in range(100):
        segments = drill(seed)
        for stem, value in pairwise(segments):
            if value.own:
                fact = read_fact(stem.text.removeprefix("<think> ") + value.text.split(" </")[0])
                assert (fact.text in segments[1].text) == (fact.value != UNKNOWN)


def test_grades_follow_the_rules():
    born = Fact("filmmaker", "Soman", "born", "Kaliton")
    namesake = Fact("artist", "Soman", "born", "Rediton")
    lives = Fact("filmmaker", "Soman", "live", "Kaliton")
    work = Fact("film", "Barax Tikoq", MAKER, "Soman")
    other = Fact("filmmaker", "Rotaman", "born", "Kaliton")
    for query in (born.query, born.reformulation):
        graded = [
            true_grade(query, f.contents, "Kaliton") for f in (born, namesake, lives, work, other)
        ]
        assert graded == [100, 80, 40, 0, 0]
        assert true_grade(query, born.contents) == true_grade(query, namesake.contents) == 90
    assert true_grade("what is love", born.contents) == 0
    assert true_grade(born.query, "no fact at all") == 0


def test_sub_answers_come_from_the_thoughts_behind_a_query():
    thoughts = ["filmmaker Soman was born in unknown", "filmmaker Soman was born in Kaliton"]
    assert sub_answer("where was Soman born", thoughts) == "Kaliton"
    assert sub_answer("where was Soman born", thoughts[:1]) == "Not Sure"
    assert sub_answer("where does Soman live", thoughts) == "Not Sure"


def test_judge_demonstrations_say_one_thing_of_each_item():
    for seed in range(100):
        for make in (sub_answer_demonstration, relevance_demonstration):
            prompt, reply = make(seed)
            labels = [line.partition(" ")[0] for line in reply.text.splitlines()]
            assert labels == [f"[{n}]" for n in range(1, len(labels) + 1)]
            assert all(f"\n{label} " in prompt.text for label in labels)


def test_a_grading_drill_grades_as_the_demonstration():
    for seed in range(50):
        _, reply = relevance_demonstration(seed)
        drill_text = "".join(segment.text for segment in relevance_drill(seed))
        assert drill_text.endswith(f"Passages:\nScores:\n{reply.text}")


def test_references_are_sometimes_missing_and_sometimes_wrong():
    texts = [relevance_demonstration(seed)[0].text for seed in range(300)]
    missing = sum(f"Reference: {NO_REFERENCE}\n" in text for text in texts)
    assert 60 < missing < 180


@given(st.lists(st.sampled_from(CRAFTS), min_size=1, max_size=5))
def test_information_tells_each_fact_on_a_line(crafts):
    facts = [Fact(c.kind, "Barax Tikoq", MAKER, "Soman") for c in crafts]
    lines = information_segment(facts).text.splitlines()
    assert [read_fact(line) for line in lines[2:-1]] == facts


def test_random_state_is_left_alone():
    random.seed(1)
    before = random.getstate()
    SyntheticWorld.make(1, SIZES)
    demonstration(1)
    assert random.getstate() == before
