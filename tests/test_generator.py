"""Generation: independent of the batch, exact stops, exact sampling, faithful tokenizers."""

import math
from collections import Counter

import pytest
import torch
from rollout_models import make_model, make_tokenizer, save
from scipy.stats import chisquare
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from stages.engines.generator import TransformersGenerator
from stages.engines.gumbel import GumbelNoise
from stages.engines.roomy_cache import RoomyLayer, roomy_cache
from stages.engines.tokenizer import load_tokenizer
from stages.plumbing.errors import InputError

PROMPTS = [
    "Question: who directed film Alpha?\n",
    "Ana",
    "Question: where was the director of a rather long film born, in which city?\n<information>",
    "Bo works as of in city film film film",
    "x",
]


@pytest.fixture(scope="module", params=["lfm2", "qwen2"])
def generator(request, tmp_path_factory):
    tokenizer = make_tokenizer()
    folder = save(make_model(request.param, tokenizer), tokenizer, tmp_path_factory.mktemp("model"))
    return TransformersGenerator(folder, batch_size=3)


def encode(generator, texts=PROMPTS):
    return [generator.tokenizer.encode(text) for text in texts]


def without_cache(generator, ids, count):
    """Greedy decoding written out: the whole sequence is read again for every token."""
    ids, new = list(ids), []
    with torch.no_grad():
        for _ in range(count):
            logits = generator.model(input_ids=torch.tensor([ids]), use_cache=False).logits
            new.append(int(logits[0, -1].argmax()))
            ids.append(new[-1])
            if new[-1] == generator.tokenizer.eos_token_id:
                return new[:-1]
    return new


def test_a_batch_a_single_prompt_and_no_cache_agree(generator):
    prompts = encode(generator)
    batched = generator.generate(prompts, stop=[], max_new_tokens=20)
    for prompt, reply in zip(prompts, batched, strict=True):
        assert generator.generate([prompt], stop=[], max_new_tokens=20) == [reply]
        assert without_cache(generator, prompt, 20) == reply
    assert len({tuple(reply) for reply in batched}) > 1


def test_a_cache_with_room_is_written_into_and_changes_no_logit(generator):
    """Beside the library's own, which is copied for every token: of each step, to the last bit."""
    padded = generator.tokenizer(PROMPTS, padding=True, return_tensors="pt")
    room = padded["input_ids"].shape[1] + 12
    roomy, logits = roomy_cache(generator.model, room), []
    for cache in (roomy, None):
        written = generator.model.generate(
            **{name: padded[name] for name in ("input_ids", "attention_mask")},
            past_key_values=cache,
            max_new_tokens=12,
            min_new_tokens=12,
            output_logits=True,
            return_dict_in_generate=True,
        )
        logits.append(torch.stack(written.logits))
    assert torch.equal(*logits)
    layers = [layer for layer in roomy.layers if isinstance(layer, RoomyLayer)]
    assert layers
    for layer in layers:
        rows, heads, length, width = layer.keys.shape
        assert (rows, length) == (len(PROMPTS), room - 1)
        assert layer.keys.untyped_storage().nbytes() == 4 * rows * heads * room * width


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_no_numbers_are_an_error(tmp_path, value, temperature):
    """One of them, in one row, late: of NaN an argmax would make a token."""
    tokenizer = make_tokenizer()
    folder = save(make_model("qwen2", tokenizer), tokenizer, tmp_path / "broken")
    broken, calls = TransformersGenerator(folder, batch_size=8), []

    def spoil(head, inputs, logits):
        calls.append(1)
        if len(calls) == 3:
            logits[1, -1, 5] = value
        return logits

    options = {"stop": [], "max_new_tokens": 4, "temperature": temperature}
    prompts, keys = encode(broken), list(range(len(PROMPTS)))
    whole = broken.generate(prompts, keys=keys, **options)
    assert max(map(len, whole)) == 4
    broken.model.get_output_embeddings().register_forward_hook(spoil)
    with pytest.raises(InputError, match="broken: the language model gives logits that are not"):
        broken.generate(prompts, keys=keys, **options)


def test_equal_prompts_get_equal_copies(generator):
    prompt = encode(generator)[0]
    first, second = generator.generate([prompt, prompt], stop=[], max_new_tokens=5)
    first.append(-1)
    assert second == first[:-1]
    assert generator.generate([], stop=[], max_new_tokens=5) == []


def test_a_reply_ends_with_the_token_that_completes_a_stop_string(generator):
    """The stop strings are cut out of what the model writes without them."""
    tokenizer = generator.tokenizer
    prompts = encode(generator)
    free = generator.generate(prompts, stop=[], max_new_tokens=24)
    for prompt, reply in zip(prompts, free, strict=True):
        text = tokenizer.decode(reply)
        stops = [text[i : i + n] for i in range(0, len(text) - 5, 3) for n in (1, 2, 5)]
        for stop in [s for s in stops if "\N{REPLACEMENT CHARACTER}" not in s and s.isascii()]:
            [stopped] = generator.generate([prompt], stop=["never \0", stop], max_new_tokens=24)
            assert stopped == reply[: len(stopped)]
            assert stop in tokenizer.decode(stopped)
            assert stop not in tokenizer.decode(stopped[:-1])


@pytest.mark.parametrize("one_token_tags", [True, False])
def test_tags_stop_whether_they_are_one_token_or_several(tmp_path, one_token_tags):
    """A model that can only say one sentence is stopped behind its first action."""
    tokenizer = make_tokenizer(one_token_tags=one_token_tags)
    sentence = "<search> Ana </search> and <answer> Bo </answer>"
    ids = tokenizer.encode(sentence)
    assert (len(ids) < 16) == one_token_tags
    model = make_model("qwen2", tokenizer).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(120):
        model(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    generator = TransformersGenerator(save(model, tokenizer, tmp_path))
    starts = [ids[:1], ids[:2]]
    written = generator.generate(starts, stop=["</search>", "</answer>"], max_new_tokens=60)
    for start, reply in zip(starts, written, strict=True):
        assert tokenizer.decode(start + reply) == "<search> Ana </search>"


def test_a_prompt_that_fills_the_window_gives_nothing_and_no_error(generator):
    window = generator.window
    prompts = [[5] * (window + 3), [5] * window, [5] * (window - 2), [5] * 4]
    replies = generator.generate(prompts, stop=[], max_new_tokens=10)
    assert [len(reply) for reply in replies[:2]] == [0, 0]
    assert len(replies[2]) <= 2
    assert replies[3] == generator.generate([prompts[3]], stop=[], max_new_tokens=10)[0]


def test_a_sample_depends_on_prompt_and_key_alone(generator):
    prompts = encode(generator)
    keys = [11, 12, 13, 14, 2**62 + 5]
    options = {"stop": [], "max_new_tokens": 12, "temperature": 1.0}
    together = generator.generate(prompts, keys=keys, **options)
    backwards = generator.generate(prompts[::-1], keys=keys[::-1], **options)
    assert together == backwards[::-1]
    for prompt, key, reply in zip(prompts, keys, together, strict=True):
        assert generator.generate([prompt], keys=[key], **options) == [reply]
    same = generator.generate([prompts[0]] * 8, keys=range(8), **options)
    assert len({tuple(reply) for reply in same}) == 8
    with pytest.raises(ValueError, match="key"):
        generator.generate(prompts, **options)


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_samples_follow_the_softmax(generator, temperature):
    prompt = encode(generator)[0]
    with torch.no_grad():
        logits = generator.model(input_ids=torch.tensor([prompt])).logits[0, -1]
    expected = torch.softmax(logits.double() / temperature, -1)
    draws = 6000
    generator.batch_size, before = 2000, generator.batch_size
    options = {"stop": [], "max_new_tokens": 1, "temperature": temperature}
    replies = generator.generate([prompt] * draws, keys=range(draws), **options)
    generator.batch_size = before
    counts = torch.zeros(len(expected), dtype=torch.double)
    for reply in replies:
        counts[reply[0] if reply else generator.tokenizer.eos_token_id] += 1
    often = expected * draws > 8
    observed = [*counts[often].tolist(), counts[~often].sum().item()]
    wanted = [*(expected[often] * draws).tolist(), (expected[~often].sum() * draws).item()]
    assert chisquare(observed, wanted).pvalue > 1e-4


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_top_p_draws_from_the_likeliest_tokens_alone(generator, temperature):
    """The fewest tokens, likeliest first, whose probabilities reach top_p; each as often as chance
    among them has it."""
    prompt, draws = encode(generator)[0], 3000
    with torch.no_grad():
        logits = generator.model(input_ids=torch.tensor([prompt])).logits[0, -1]
    likely, order = torch.softmax(logits.double() / temperature, -1).sort(descending=True)
    kept = int((likely.cumsum(0) < 0.6).sum()) + 1
    expected = likely[:kept] / likely[:kept].sum() * draws
    before = generator.batch_size, generator.top_p
    generator.batch_size, generator.top_p = 1000, 0.6
    options = {"stop": [], "max_new_tokens": 1, "temperature": temperature}
    replies = generator.generate([prompt] * draws, keys=range(draws), **options)
    generator.batch_size, generator.top_p = before
    ends = generator.tokenizer.eos_token_id
    counts = Counter(reply[0] if reply else ends for reply in replies)
    assert 1 < kept < len(likely) / 2 and set(counts) <= set(order[:kept].tolist())
    observed = [counts[token] for token in order[:kept].tolist()]
    assert chisquare(observed, expected.tolist()).pvalue > 1e-4


def test_positions_draw_independent_noise(generator):
    """With flat logits, equal neighbours are as rare as chance has it."""
    rows, vocabulary, steps = 400, 20, 30
    noise = GumbelNoise(list(range(rows)), torch.ones(rows, 1, dtype=torch.long), 1.0)
    flat = torch.zeros(rows, vocabulary)
    ids = torch.stack([noise(torch.zeros(rows, 1 + t), flat).argmax(-1) for t in range(steps)], 1)
    for one, other in ((ids[:, 1:], ids[:, :-1]), (ids[1:], ids[:-1])):
        share = (one == other).float().mean().item()
        assert abs(share - 1 / vocabulary) < 0.01
    assert chisquare(torch.bincount(ids.flatten(), minlength=vocabulary)).pvalue > 1e-4


def test_sampling_settings_in_the_folder_are_ignored_and_the_mode_is_kept(tmp_path):
    tokenizer = make_tokenizer()
    model = make_model("qwen2", tokenizer)
    plain = TransformersGenerator(save(model, tokenizer, tmp_path / "plain"))
    model.generation_config.update(
        do_sample=True, temperature=0.1, top_k=3, repetition_penalty=9.0, min_new_tokens=7
    )
    model.generation_config.save_pretrained(save(model, tokenizer, tmp_path / "settings"))
    other = TransformersGenerator(tmp_path / "settings")
    prompts = encode(plain)
    expected = plain.generate(prompts, stop=[], max_new_tokens=15)
    other.model.train()
    assert other.generate(prompts, stop=[], max_new_tokens=15) == expected
    assert other.model.training


def test_a_word_level_tokenizer_beside_a_qwen2_is_read_as_it_was_written(tmp_path):
    words = ["<pad>", "<eos>", "<unk>", "who", "is", "Ana", "<search>", "</search>"]
    inner = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    save(make_model("qwen2", tokenizer), tokenizer, tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded.encode("who is <search> Ana </search>") == [3, 4, 6, 5, 7]
    assert loaded.decode([3, 5]) == "who Ana"
    assert (loaded.pad_token_id, loaded.eos_token_id) == (0, 1)
    generator = TransformersGenerator(tmp_path)
    assert len(generator.generate([[3, 4]], stop=["</search>"], max_new_tokens=5)) == 1


def test_the_chat_template_survives(tmp_path):
    tokenizer = make_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}[{{ m.content }}]{% endfor %}"
    save(make_model("qwen2", tokenizer), tokenizer, tmp_path)
    assert load_tokenizer(tmp_path).chat_template == tokenizer.chat_template
