"""EM and F1 against formulas written out and other people's figures."""

import json
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_files import RESPONSES, needs

from stages.scoring import exact_match, f1_score


def plain(text):
    """SQuAD's normalisation, step by step; the text as it is where that leaves nothing."""
    left = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return re.sub(r"\b(a|an|the)\b", " ", left).split() or text.lower().split()


def plain_f1(prediction, golds):
    """Precision and recall over bags of words, word by word."""
    best = 0.0
    for gold in filter(plain, golds):
        left, right, common = plain(prediction), plain(gold), 0
        if {" ".join(left), " ".join(right)} & {"yes", "no", "noanswer"} and left != right:
            continue
        if left == right:
            best = 1.0
        for word in list(left):
            if word in right:
                right.remove(word)
                common += 1
        if common:
            precision, recall = common / len(left), common / len(plain(gold))
            best = max(best, 2 * precision * recall / (precision + recall))
    return best


@pytest.mark.parametrize(
    ("prediction", "golds", "em", "f1"),
    [
        ("The Beatles", ["beatles"], 1, 1.0),
        ("an  apple\ta day", ["Apple day"], 1, 1.0),
        ("U.S.A.", ["usa"], 1, 1.0),
        ("4884 m", ["4,884 m"], 1, 1.0),
        ("O'Neill", ["oneill"], 1, 1.0),
        ("Beyoncé", ["beyoncé"], 1, 1.0),
        ("Beyonce", ["beyoncé"], 0, 0.0),
        ("ÅNGSTRÖM", ["ångström"], 1, 1.0),
        ("東京", ["東京"], 1, 1.0),
        ("“Paris”", ["Paris"], 0, 0.0),  # typographic quotes are no ASCII punctuation
        ("yes", ["Yes."], 1, 1.0),
        ("yes it is", ["yes"], 0, 0.0),
        ("no", ["no one"], 0, 0.0),
        ("Paris, France", ["Paris"], 0, 2 / 3),
        ("Paris", ["London", "paris", "Rome"], 1, 1.0),
        ("New York City", ["York", "New York"], 0, 0.8),
        # what normalises to nothing is compared as it stands, and a blank with nothing
        ("the", ["a"], 0, 0.0),
        (" The", ["the"], 1, 1.0),
        ("?", ["!"], 0, 0.0),
        ("...", ["..."], 1, 1.0),
        ("the", ["Paris", ""], 0, 0.0),
        (" ", ["Paris", " "], 0, 0.0),
        ("", ["Paris"], 0, 0.0),
        ("...", ["Paris"], 0, 0.0),
        (None, ["Paris"], 0, 0.0),
        (None, ["the"], 0, 0.0),
        ("the-end", ["end"], 0, 0.0),  # punctuation goes first: "theend"
        ("May 5 5", ["5 5 May May"], 0, 6 / 7),
    ],
)
def test_tricky_strings(prediction, golds, em, f1):
    assert exact_match(prediction, golds) == em
    assert f1_score(prediction, golds) == pytest.approx(f1)


words = st.text(alphabet="aAtheno yes.,'é-\n", max_size=14)


@given(words, st.lists(words, min_size=1, max_size=3))
def test_the_formulas_written_out(prediction, golds):
    meant = [plain(gold) for gold in golds if gold.strip()]
    assert exact_match(prediction, golds) == int(plain(prediction) in meant)
    assert f1_score(prediction, golds) == pytest.approx(plain_f1(prediction, golds))
    assert exact_match(prediction, golds) <= f1_score(prediction, golds) <= 1


@needs(RESPONSES)
def test_real_predictions_score_as_another_evaluator_found():
    for line in RESPONSES.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert exact_match(row["prediction"], row["golden_answers"]) == row["em"]
        assert f1_score(row["prediction"], row["golden_answers"]) == pytest.approx(row["f1"])
