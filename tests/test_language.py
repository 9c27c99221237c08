"""Language models from scratch: tokenizer, architecture, batches, training and examination."""

import json
import math
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from stages import params
from stages.common.linear import make_portable
from stages.engines.generator import TransformersGenerator
from stages.judge.prompts import Prompt
from stages.language.architecture import Architecture, make_model
from stages.language.batches import batches, encode_segments, pad
from stages.language.curriculum import agent_curriculum, judge_curriculum
from stages.language.examination import ExaminedReply, agent_metrics, relevance_metrics
from stages.language.supervised import (
    SupervisedRecipe,
    learning_rate,
    own_loss,
    train_language_model,
)
from stages.language.tokenizer import EOS, TAGS, make_tokenizer, world_texts
from stages.params import Protocol as ProtocolBlock
from stages.plumbing.errors import InputError
from stages.rollout.protocol import AgentProtocol
from stages.teaching.demonstrations import Segment, demonstration
from stages.teaching.judgements import RELEVANCE_PROMPT, relevance_demonstration
from stages.world.vocabulary import KNOWN, words
from stages.world.world import SyntheticWorld

TOKENIZER = make_tokenizer(world_texts(samples=60))
TINY = Architecture(width=32, layers=2, heads=2)


@torch.no_grad()
def whole_actions(model, held_out: list) -> list[list[bool]]:
    """For each demonstration, for each action: would every token be written, greedily?"""
    model.eval()
    rows = []
    for batch in held_out:
        right = model(input_ids=batch.ids).logits[:, :-1].argmax(-1) == batch.ids[:, 1:]
        for row, actions in zip(right, batch.actions[:, 1:], strict=True):
            rows.append([bool(row[actions == n].all()) for n in range(1, int(actions.max()) + 1)])
    model.train()
    return rows


def lesson(step: int, seed: str) -> list[Segment]:
    """One of two answers, told by the question."""
    city = words("city", 2)[len(seed) % 2 if step < 0 else int(seed[-1], 36) % 2]
    return [Segment(f"Question: {city}?\n", False), Segment(f"<answer> {city} </answer>", True)]


@given(st.text())
@settings(max_examples=200, deadline=None)
def test_any_text_comes_back_exactly(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_known_words_are_one_token_each_and_tags_are_not_special():
    for kind in KNOWN:
        for name in words(kind, KNOWN[kind]):
            assert len(TOKENIZER.encode(f" {name}")) == 1
    tags = [f"<{slash}{tag}>" for tag in TAGS for slash in ("", "/")]
    for tag in tags:
        (number,) = TOKENIZER.encode(tag)
        assert TOKENIZER.decode([number], skip_special_tokens=True) == tag
    assert not set(tags) & set(TOKENIZER.all_special_tokens)


def test_a_whole_world_needs_no_bytes():
    alphabet = set(TOKENIZER.encode("".join(chr(n) for n in range(33, 127) if chr(n) not in '?."')))
    for passage in SyntheticWorld.make(5, params.World()).passages:
        ids = TOKENIZER.encode(passage.text)
        assert not alphabet & set(ids), passage.text


def test_parts_encode_as_the_whole_does():
    for seed in range(50):
        for make in (demonstration, relevance_demonstration):
            segments = make(seed)
            parts = [token for s in segments for token in TOKENIZER.encode(s.text)]
            assert parts == TOKENIZER.encode("".join(s.text for s in segments))


def test_tokenizer_and_model_survive_their_folder(tmp_path):
    """transformers 5 rebuilds some tokenizers beside a known model type as another one."""
    model = make_model(TINY, TOKENIZER, seed=1)
    model.save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    text = '<think> find "Žluťoučký" </think> <search> who directed Barax Tikoq </search>'
    for loader in (AutoTokenizer, PreTrainedTokenizerFast):
        loaded = loader.from_pretrained(tmp_path)
        assert loaded.encode(text) == TOKENIZER.encode(text)
        assert loaded.decode(loaded.encode(text)) == text
        assert (loaded.pad_token_id, loaded.eos_token) == (TOKENIZER.pad_token_id, EOS)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, use_safetensors=True)
    ids = torch.tensor([TOKENIZER.encode(text)])
    logits = [make_portable(one).eval()(input_ids=ids).logits for one in (again, model)]
    assert torch.equal(*logits)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "lfm2"


def test_weights_depend_on_the_seed_alone():
    first, again, other = (make_model(TINY, TOKENIZER, seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters()))
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters()))


def test_an_untrained_model_looks_at_what_followed_the_same_phrase():
    """Start near recall: attention goes from the end of a phrase to behind its first telling."""
    model = make_model(Architecture(), TOKENIZER, seed=3).eval()
    model.set_attn_implementation("eager")
    names, cities = words("name", 8), words("city", 8)
    told = "".join(f"The artist {n} lives in {c}.\n" for n, c in zip(names, cities, strict=True))
    rank = []
    for name, city in zip(names, cities, strict=True):
        ids = TOKENIZER.encode(f"{told}<think> artist {name} lives in")
        with torch.no_grad():
            first = model(input_ids=torch.tensor([ids]), output_attentions=True).attentions[0]
        seen = first[0, :, -1].mean(0)  # (length,)
        at = {c: seen[ids.index(TOKENIZER.encode(f" {c}")[0])].item() for c in cities}
        rank.append(sorted(at, key=at.__getitem__, reverse=True).index(city))
    assert sum(rank) / len(rank) < 2.5, rank  # by chance 3.5


def test_encoding_counts_actions_and_ends_the_text():
    segments = [Segment("a", False), Segment("b", True), Segment("c", False), Segment("d", True)]
    ids, actions = encode_segments(segments, TOKENIZER)
    assert ids == [*TOKENIZER.encode("abcd"), TOKENIZER.eos_token_id]
    assert actions == [0, 1, 0, 2, 2]


def test_batches_do_not_depend_on_where_a_run_starts():
    whole = list(batches(lesson, TOKENIZER, 2, 0, 11))
    rest = list(batches(lesson, TOKENIZER, 2, 6, 11))
    assert len(whole) == 11
    for a, b in zip(whole[6:], rest, strict=True):
        assert torch.equal(a.ids, b.ids) and torch.equal(a.actions, b.actions)


def test_padding_changes_no_loss():
    model = make_model(TINY, TOKENIZER, seed=1).eval()
    rows = [encode_segments(demonstration(seed), TOKENIZER) for seed in range(4)]
    together = own_loss(model, pad(rows, TOKENIZER.pad_token_id)).item()
    tokens = [sum(action > 0 for action in actions) for _, actions in rows]
    alone = [own_loss(model, pad([row], TOKENIZER.pad_token_id)).item() for row in rows]
    expected = sum(n * loss for n, loss in zip(tokens, alone, strict=True)) / sum(tokens)
    assert together == pytest.approx(expected, rel=1e-4)


def test_the_loss_reads_own_tokens_only():
    model = make_model(TINY, TOKENIZER, seed=1).eval()
    ids, actions = encode_segments(
        [Segment("Question: a\n", False), Segment(" b", True)], TOKENIZER
    )
    logits = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
    picked = [-logits[t - 1, ids[t]].item() for t in range(len(ids)) if actions[t]]
    batch = pad([(ids, actions)], TOKENIZER.pad_token_id)
    assert own_loss(model, batch).item() == pytest.approx(sum(picked) / len(picked), rel=1e-5)


def test_the_learning_rate_rises_stays_and_falls():
    recipe = SupervisedRecipe(steps=100, batch_size=1, learning_rate=1.0, warmup=10)
    rates = [learning_rate(recipe, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:50] == pytest.approx([1.0] * 40)
    assert rates[50:] == sorted(rates[50:], reverse=True)
    assert 0.05 < rates[-1] < 0.1


def test_a_killed_training_goes_on_to_the_same_result(tmp_path):
    recipe = SupervisedRecipe(steps=12, batch_size=4, learning_rate=1e-2, warmup=2, save_every=4)

    def run(path, steps=None):
        model = make_model(TINY, TOKENIZER, seed=1)

        def killed(step, seed):
            if step == steps:
                raise KeyboardInterrupt
            return lesson(step, seed)

        try:
            losses = train_language_model(model, TOKENIZER, killed, recipe, path, "test")
        except KeyboardInterrupt:
            return model, None
        return model, losses

    whole, losses = run(tmp_path / "whole.pt")
    _, nothing = run(tmp_path / "killed.pt", steps=8)
    resumed, rest = run(tmp_path / "killed.pt")
    assert nothing is None and rest == losses and len(losses) == 12
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


def test_training_teaches_and_the_examination_sees_it(tmp_path):
    model = make_model(TINY, TOKENIZER, seed=1)
    told = [lesson(0, str(n)) for n in range(8)]
    held_out = [
        pad([encode_segments(segments, TOKENIZER) for segments in told], TOKENIZER.pad_token_id)
    ]
    assert not any(all(row) for row in whole_actions(model, held_out))
    recipe = SupervisedRecipe(steps=60, batch_size=8, learning_rate=1e-2, warmup=5)
    losses = train_language_model(model, TOKENIZER, lesson, recipe, tmp_path / "state.pt", "test")
    assert losses[-1] < 0.05 < losses[0]
    assert all(all(row) for row in whole_actions(model, held_out))


def diverge(folder, model, **recipe):
    values = {"steps": 4, "batch_size": 2, "learning_rate": 1e-3} | recipe
    state, rate = folder / "state.pt", "base.agent.learning_rate"
    train_language_model(
        model, TOKENIZER, lesson, SupervisedRecipe(**values), state, "base, agent", rate
    )


def test_a_loss_that_is_no_number_stops_the_training(tmp_path):
    model = make_model(TINY, TOKENIZER, seed=1)
    with torch.no_grad():
        model.model.embed_tokens.weight.fill_(math.nan)
    told = r"agent, step 1: loss is nan \(nothing was finite before\); lower 'base.agent.learning"
    with pytest.raises(InputError, match=told):
        diverge(tmp_path, model)


def test_a_training_that_diverges_says_what_was_finite_last(tmp_path):
    model = make_model(TINY, TOKENIZER, seed=1)
    told = r"step \d: (loss|gradient norm) is (nan|inf) \(last finite: loss [\d.]+ in step [12], "
    with pytest.raises(InputError, match=told):
        diverge(tmp_path, model, learning_rate=1e30, warmup=1, steps=6)


def test_a_gradient_that_is_no_number_stops_the_training(tmp_path):
    model = make_model(TINY, TOKENIZER, seed=1)
    model.lm_head.weight.register_hook(lambda gradient: gradient * math.inf)
    with pytest.raises(InputError, match=r"step 1: gradient norm is (nan|inf) \(last finite: loss"):
        diverge(tmp_path, model)


def test_weights_that_the_last_step_breaks_are_seen(tmp_path):
    model = make_model(TINY, TOKENIZER, seed=1)
    with pytest.raises(InputError, match=r"step 1: \d+ of \d+ weight tensors are not finite"):
        diverge(tmp_path, model, learning_rate=math.inf, warmup=1, steps=1)


def test_a_curriculum_begins_easy():
    agent, judge = agent_curriculum(10, 0.6), judge_curriculum(10, 10)
    drills = [all("search>" not in s.text for s in agent(0, str(n))) for n in range(50)]
    later = [all("search>" not in s.text for s in agent(10, str(n))) for n in range(50)]
    assert all(drills) and sum(later) < 25
    assert judge(0, "a") == judge(0, "a") and judge(0, "a") != judge(0, "b")


@pytest.mark.parametrize("window", [10, 20])
def test_a_judge_is_taught_windows_of_up_to_so_many_passages(window):
    make = judge_curriculum(0, window)
    told = ("".join(s.text for s in make(1, str(number))) for number in range(200))
    assert max(int(label) for text in told for label in re.findall(r"\[(\d+)\]", text)) == window


def test_figures_of_an_agent():
    protocol = AgentProtocol(ProtocolBlock())
    good = "<think> x </think> <answer> y </answer>"
    given_ = [
        ExaminedReply("", good, good, False),
        ExaminedReply("", "<think> nothing", good, True),
        ExaminedReply("", good, good, True),
        ExaminedReply("", good.replace("y", "z"), good, True),
    ]
    metrics = agent_metrics(given_, lambda text: protocol.parse(text).kind == "invalid")
    assert metrics["right"] == 0.5
    assert metrics["right_after_search"] == pytest.approx(1 / 3)
    assert metrics["invalid"] == 0.25


def test_figures_of_a_judge():
    prompt = Prompt.load(RELEVANCE_PROMPT, "query", "reference", "passages")
    right = "[1] The film A is by B. 100\n[2] The film C is by D. 0\n"
    wrote = "[1] The film A is by B. 80\n[2] 0\n"
    metrics = relevance_metrics(
        [ExaminedReply("", wrote, right, True), ExaminedReply("", "[1] 100\n", right, True)],
        prompt.parse,
    )
    assert metrics["malformed"] == 0.5
    assert metrics["exact"] == 0.5
    assert metrics["same_side_of_60"] == 1.0


def test_generation_of_a_saved_model_is_its_greedy_choice(tmp_path):
    model = make_model(TINY, TOKENIZER, seed=1)
    model.save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    prompt = TOKENIZER.encode("Question: who?\n")
    (written,) = TransformersGenerator(tmp_path).generate([prompt], stop=[], max_new_tokens=5)
    ids = list(prompt)
    for token in written:
        logits = model.eval()(input_ids=torch.tensor([ids])).logits[0, -1]
        assert int(logits.argmax()) == token
        ids.append(token)
