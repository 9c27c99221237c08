"""The contrastive loss, held to InfoNCE written out in plain torch."""

import json
import math
import os
import random
from datetime import timedelta

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stages.common.records import write_jsonl
from stages.contrastive.fresh import fresh_encoder, vocabulary
from stages.contrastive.loss import InstanceLoss, false_negatives, instance_loss
from stages.contrastive.numbers import NONE
from stages.contrastive.rows import contrastive_columns, read_training_rows, training_order
from stages.contrastive.weights import reasoning_weights, row_weights
from stages.encoders.query_format import QueryFormat
from stages.params import Retriever, TierWeights
from stages.plumbing.errors import InputError

TEMPERATURE = 0.05
WORDS = [f"word{n}" for n in range(40)]


def instance(query: str, positive: str, negatives: list[str], siblings=()) -> dict:
    """A row of a pairs file; a passage's text is its id."""
    return {
        "id": f"{query}#0/{positive}",
        "question": "q",
        "query": query,
        "history": [],
        "positive": {"id": positive, "text": positive, "lr": 100, "gac": 1},
        "negatives": [{"id": negative, "text": negative} for negative in negatives],
        "siblings": list(siblings),
    }


# Two instances of one query (the first and the third), and a second query, one of whose negatives
# is a positive of the first. On two processes, the first two rows are on one.
ROWS = [
    instance("word0", "word10", ["word20", "word21"], siblings=["word11"]),
    instance("word1", "word12", ["word10", "word22"]),
    instance("word0", "word11", ["word20", "word21"], siblings=["word10"]),
    instance("word2", "word13", ["word23", "word24"]),
]


def weighted(row: dict, tiers: list[str], reasoning: int) -> dict:
    """The row with a tier of each negative, and words of reasoning after its positive."""
    negatives = [one | {"tier": tier} for one, tier in zip(row["negatives"], tiers, strict=True)]
    return row | {"negatives": negatives, "reasoning": reasoning}


# As many negatives as there were, from none to three. The positive of the first is a negative of
# the second, and by a fault one of the third, which is of the same query.
WEIGHTED = [
    weighted(
        instance("word0", "word10", ["word20", "word21", "word22"], siblings=["word11"]),
        ["redundancy", "hard", "weak"],
        4,
    ),
    weighted(instance("word1", "word12", ["word10"]), ["weak"], 2),
    weighted(
        instance("word0", "word11", ["word10", "word23"], siblings=["word10"]),
        ["redundancy", "redundancy"],
        8,
    ),
    weighted(instance("word2", "word13", []), [], 1),
]
BOTH = Retriever(tier_weights=TierWeights(), instance_weights=True)


def batch_of(rows, tmp_path, reads="query", weights=None):
    write_jsonl(tmp_path / "pairs.jsonl", rows)
    read = read_training_rows(tmp_path / "pairs.jsonl", QueryFormat(reads))
    return contrastive_columns(read, weights and row_weights(read, weights, "pairs.jsonl"))


def model_of_words():
    sizes = {"layers": 1, "width": 16, "heads": 2, "max_length": 16}
    return fresh_encoder(vocabulary(WORDS), seed=3, **sizes)


def library_loss(
    model, batch: dict[str, list], cached: int | None = None, weights: bool = False
) -> torch.Tensor:
    texts = [name for name in batch if name != "label"]
    features = [model.preprocess(list(batch[name])) for name in texts]
    loss = instance_loss(model, TEMPERATURE, cached, weights)
    return loss(features, torch.tensor(batch["label"]))


def written_out(model, rows: list[dict], temperature: float = TEMPERATURE) -> torch.Tensor:
    """InfoNCE, one query at a time: its positive against all passages but its own positives.

    In float64. A negative with a tier counts W times for its own query, a row with reasoning times
    LRAT's weight.
    """
    counts = {"redundancy": 3.0, "hard": 1.0, "weak": 0.3}
    reasoning = [row.get("reasoning", 1) for row in rows]
    half = sorted(reasoning)
    beta = (half[(len(half) - 1) // 2] + half[len(half) // 2]) / 2
    shares = [1 - 2 ** (-length / beta) for length in reasoning]

    def vector(text):
        return model(model.preprocess([text]))["sentence_embedding"][0].double()

    total = torch.zeros((), dtype=torch.float64)
    for own, row in enumerate(rows):
        known = {row["positive"]["id"], *row["siblings"]}
        query, below = vector(row["query"]), torch.zeros((), dtype=torch.float64)
        for other, beside in enumerate(rows):
            for passage in [beside["positive"], *beside["negatives"]]:
                is_target = other == own and passage is beside["positive"]
                part = torch.exp(query @ vector(passage["text"]) / temperature)
                if other == own and "tier" in passage:
                    part = counts[passage["tier"]] * part
                if is_target or passage["id"] not in known:
                    below = below + part
                if is_target:
                    above = part
        total = total - torch.log(above / below) * shares[own] / (sum(shares) / len(shares))
    return total / len(rows)


def gradient(loss: torch.Tensor, model) -> list[torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()]


def assert_same(first: list[torch.Tensor], second: list[torch.Tensor]) -> None:
    assert any(part.abs().max() > 1e-3 for part in first)
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-3)


@pytest.mark.parametrize("cached", [None, 1, 3], ids=["whole", "one-by-one", "by-threes"])
@pytest.mark.parametrize("rows", [ROWS[1:2] + ROWS[3:], ROWS], ids=["plain", "siblings"])
def test_value_and_gradient_are_those_of_infonce(rows, cached, tmp_path):
    model = model_of_words()
    loss, expected = library_loss(model, batch_of(rows, tmp_path), cached), written_out(model, rows)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert_same(gradient(expected, model), gradient(loss, model))


@pytest.mark.parametrize("cached", [None, 2], ids=["whole", "by-twos"])
def test_weights_tiers_and_unequal_negatives_are_the_formula(cached, tmp_path):
    model, batch = model_of_words(), batch_of(WEIGHTED, tmp_path, weights=BOTH)
    loss, expected = library_loss(model, batch, cached, True), written_out(model, WEIGHTED)
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert_same(gradient(expected, model), gradient(loss, model))
    unweighted = library_loss(model, batch_of(WEIGHTED, tmp_path), cached)
    assert abs(loss.item() - unweighted.item()) > 1e-2


def test_what_fills_up_the_negatives_is_invisible(tmp_path):
    """Whatever text it is, and however many columns rows of another batch need."""
    model, batch = model_of_words(), batch_of(WEIGHTED, tmp_path, weights=BOTH)
    loss = library_loss(model, batch, weights=True)
    parts = [loss.detach(), *gradient(loss, model)]
    columns = list(batch)[1:-1]
    assert columns == ["positive", "negative_1", "negative_2", "negative_3"]
    other = dict(batch)
    for number, name in enumerate(columns[1:]):
        filled = [len(row["negatives"]) <= number for row in WEIGHTED]
        assert any(filled)
        other[name] = ["word39" if f else t for f, t in zip(filled, batch[name])]
    loss = library_loss(model, other, weights=True)
    for one, same in zip(parts, [loss.detach(), *gradient(loss, model)], strict=True):
        assert torch.equal(one, same)

    many = weighted(instance("word3", "word14", WORDS[24:32]), ["hard"] * 8, 1)
    wide = batch_of([*WEIGHTED, many], tmp_path, weights=Retriever(tier_weights=TierWeights()))
    wide = {name: rows[:4] for name, rows in wide.items()}
    narrow = batch_of(WEIGHTED, tmp_path, weights=Retriever(tier_weights=TierWeights()))
    assert len(wide) == len(narrow) + 5
    one, other = (library_loss(model, each, weights=True) for each in (narrow, wide))
    assert one.item() == pytest.approx(other.item(), abs=1e-6)
    assert_same(gradient(one, model), gradient(other, model))


def test_reasoning_weights_are_lrats():
    found = reasoning_weights([1, 3, 3, 12, 0])
    raw = [1 - math.exp(-math.log(2) * length / 3) for length in (1, 3, 3, 12, 0)]
    assert raw[1] == pytest.approx(0.5)
    assert found == pytest.approx([weight * 5 / sum(raw) for weight in raw])
    assert sum(found) / 5 == pytest.approx(1)
    with pytest.raises(InputError, match=r"^pairs: half of the instances .*instance_weights"):
        reasoning_weights([0, 0, 0, 5])


@pytest.mark.parametrize(
    ("rows", "block", "message"),
    [
        (ROWS, Retriever(tier_weights=TierWeights()), "a negative of 'word0#0' has no 'tier'"),
        (ROWS, Retriever(instance_weights=True), "an instance of 'word0#0' has no 'reasoning'"),
    ],
)
def test_pairs_without_what_is_weighed_are_named(rows, block, message, tmp_path):
    with pytest.raises(InputError, match=f"^pairs.jsonl: {message}"):
        batch_of(rows, tmp_path, weights=block)


def test_siblings_do_not_push_each_other_away(tmp_path):
    batch = batch_of(ROWS, tmp_path)
    draw = torch.Generator().manual_seed(0)
    vectors = [torch.randn(4, 8, generator=draw, requires_grad=True) for _ in range(4)]
    loss = InstanceLoss(model_of_words(), TEMPERATURE)
    anchors, positives, *negatives = vectors
    value = loss.compute_loss_from_embeddings(vectors, torch.tensor(batch["label"]))
    # the first query's term alone reaches its anchor: which passages does it depend on?
    (by_anchor,) = torch.autograd.grad(value, anchors, create_graph=True)
    for hidden in (positives, negatives[0]):
        (found,) = torch.autograd.grad(by_anchor[0].sum(), hidden, retain_graph=True)
        touched = found.abs().sum(dim=1) > 0
        if hidden is positives:  # own positive, other query's, sibling's, other query's
            assert touched.tolist() == [True, True, False, True]
        else:  # own negative, the positive again as another's negative, the sibling's, another's
            assert touched.tolist() == [True, False, True, True]


def test_a_query_that_was_asked_twice_does_not_push_its_own_positives_away(tmp_path):
    again = instance("word0", "word14", ["word12", "word10"]) | {"id": "word0#1/0"}
    other = instance("word0", "word15", ["word20", "word21"]) | {"question": "another"}
    batch = batch_of([*ROWS, again, other], tmp_path, "question_query")
    labels = torch.tensor(batch["label"])
    hidden = false_negatives(labels[:, :-3], labels[:, -3:], 0)
    assert hidden[0, 4] and hidden[4, 0], "each other's positives"
    assert hidden[4, 2 * 6 + 4] and not hidden[4, 6 + 4], "word10, drawn as a negative; word12"
    assert not hidden[0, 5] and not hidden[5, 0], "another question asks the same"


@given(data=st.data())
def test_false_negatives_against_a_loop(data):
    world, batch, width = (data.draw(st.integers(1, 3)) for _ in range(3))
    number = st.integers(0, 6)
    row = st.lists(number, min_size=width, max_size=width)
    passages = data.draw(st.lists(row, min_size=world * batch, max_size=world * batch))
    offset = batch * data.draw(st.integers(0, world - 1))
    siblings = st.lists(st.sampled_from([NONE, 0, 3]), min_size=2, max_size=2)
    known = [[passages[offset + i][0], *data.draw(siblings)] for i in range(batch)]
    hidden = false_negatives(torch.tensor(known), torch.tensor(passages), offset)
    assert hidden.shape == (batch, width * world * batch)
    for i in range(batch):
        for column in range(width):
            for j in range(world * batch):
                own = column == 0 and j == offset + i
                expected = passages[j][column] in known[i] and not own
                assert hidden[i, column * world * batch + j] == expected


def test_half_precision_leaves_the_loss_exact(tmp_path):
    labels = torch.tensor(batch_of(ROWS, tmp_path)["label"])
    draw = torch.Generator().manual_seed(0)
    vectors = [torch.randn(4, 8, generator=draw).bfloat16() for _ in range(4)]
    loss = InstanceLoss(model_of_words(), 0.01)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss.compute_loss_from_embeddings(vectors, labels)
    exact = loss.compute_loss_from_embeddings([v.float() for v in vectors], labels)
    assert value.dtype == torch.float32 and value == exact


def process(rank: int, batches: dict[bool, dict], address: str, output: str) -> None:
    """One of two processes: half of a batch, its loss, and the gradient averaged as DDP does.

    Of each batch, weighted or not, without the gradient cache, then with it.
    """
    torch.distributed.init_process_group(
        "gloo", init_method=address, rank=rank, world_size=2, timeout=timedelta(hours=1)
    )
    found = []
    for weights, batch in batches.items():
        half = {name: rows[2 * rank : 2 * rank + 2] for name, rows in batch.items()}
        for cached in (None, 1):
            model = model_of_words()
            loss = library_loss(model, half, cached, weights)
            parts = [loss.detach(), *gradient(loss, model)]
            for part in parts:
                torch.distributed.all_reduce(part)
            found.append([part / 2 for part in parts])
    if rank == 0:
        torch.save(found, output)
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_loss_and_gradient_of_one(tmp_path):
    batches = {False: batch_of(ROWS, tmp_path), True: batch_of(WEIGHTED, tmp_path, weights=BOTH)}
    output = tmp_path / "found.pt"
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    address = f"file://{tmp_path / 'meeting'}"
    torch.multiprocessing.spawn(process, (batches, address, str(output)), nprocs=2)
    model = model_of_words()
    found = torch.load(output, weights_only=True)
    for rows, parts in zip((ROWS, WEIGHTED), (found[:2], found[2:]), strict=True):
        expected = written_out(model, rows)
        whole = gradient(expected, model)
        for value, *gradients in parts:
            assert value.item() == pytest.approx(expected.item(), abs=1e-5)
            assert_same(whole, gradients)


def test_rows_hold_texts_as_the_model_reads_them(tmp_path):
    row = instance("second?", "a", ["b", "c"], siblings=["d"]) | {"history": ["first?"]}
    write_jsonl(tmp_path / "pairs.jsonl", [row, instance("x", "b", ["a", "d"])])
    query_format = QueryFormat("question_history_query", "query: ", "passage: ")
    batch = contrastive_columns(read_training_rows(tmp_path / "pairs.jsonl", query_format))
    assert batch["anchor"] == ["query: q [SEP] first? [SEP] second?", "query: q [SEP] x"]
    assert list(batch) == ["anchor", "positive", "negative_1", "negative_2", "label"]
    assert batch["negative_2"] == ("passage: c", "passage: d")
    a, d, b, c = 0, 1, 2, 3
    assert batch["label"] == [[a, d, a, b, c], [b, NONE, b, a, d]]


def test_equal_queries_of_two_questions_are_one_to_a_model_that_reads_no_question(tmp_path):
    other = instance("x", "b", ["a"]) | {"question": "another"}
    write_jsonl(tmp_path / "pairs.jsonl", [instance("x", "a", ["b"]), other])
    labels = {
        reads: contrastive_columns(
            read_training_rows(tmp_path / "pairs.jsonl", QueryFormat(reads))
        )["label"]
        for reads in ("query", "question_query")
    }
    a, b = 0, 1
    assert labels["question_query"] == [[a, a, b], [b, b, a]]
    assert labels["query"] == [[a, b, a, b], [a, b, b, a]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no training instance"),
        (json.dumps(weighted(ROWS[0], ["hard", "soft"], 1)), ":1: 'negatives.1..tier' must be one"),
        (json.dumps(ROWS[0] | {"reasoning": -1}), ":1: 'reasoning' must be from 0"),
        (
            json.dumps(ROWS[0] | {"positive": "word10"}),
            ":1: 'positive' must be",
        ),
        ("{}", ":1: the key 'id' is missing"),
    ],
)
def test_bad_pairs_are_named(tmp_path, text, message):
    path = tmp_path / "pairs.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_training_rows(path, QueryFormat())


def test_every_instance_is_used_before_one_is_used_again():
    order = training_order(7, 30, seed=1)
    assert len(order) == 30 and order == training_order(7, 30, seed=1)
    for start in range(0, 28, 7):
        assert sorted(order[start : start + 7]) == list(range(7))
    assert order != training_order(7, 30, seed=2)
    assert order[:7] != random.Random(0).sample(range(7), 7)
