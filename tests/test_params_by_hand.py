"""params.yaml edited by hand: YAML's traps are one line, and none changes a value in silence."""

from pathlib import Path

import pytest

from stages.params import load_params
from stages.plumbing.errors import InputError

REFUSED = [
    ("pairs: {threshold: 074}", "'pairs.threshold': 074 is 60 to some readers"),
    ("pairs: {threshold: 1:00}", "'pairs.threshold': 1:00 is 60 to some readers"),
    ("evaluate: {recall_at: [3, 010]}", "'evaluate.recall_at[1]': 010 is 8"),
    ("retriever: {weight_decay: 1:30.5}", "'retriever.weight_decay': 1:30.5 is 90.5"),
    ("encoder: {revision: 0123456}", "'encoder.revision': YAML reads 0123456 as 42798: put"),
    ("encoder: {revision: 12e4567}", "'encoder.revision': YAML reads 12e4567 as inf: put"),
    ("encoder: {revision: 1.10}", "'encoder.revision': YAML reads 1.10 as 1.1: put"),
    ("encoder: {query_prompt: yes}", "'encoder.query_prompt': YAML reads yes as True: put"),
    ("questions: {sets: [nq, no]}", "'questions.sets[1]': YAML reads no as False: put"),
    ("evaluate: {recall_at: [[3]]}", "'evaluate.recall_at[0]': must be one value"),
    ("report: {follow: [Who: x]}", "a text with a colon must stand in quotes"),
    ("encoder: {families: [[born, birth]]}", "'encoder.families[0]': must be one value"),
    ("report: {follow: [null]}", "'report.follow[0]': cannot be null"),
    ("pairs: {threshold: '???'}", "'pairs.threshold': has no value"),
    ("visits: {source: off}", "'visits.source': YAML reads this as true or false"),
    ("compare: {yes: {agent: '0', retriever: '0'}}", "'compare.True': YAML reads this name as"),
    ("iterations: {1: {previous: '0'}}", "'iterations.1': YAML reads this name as no text"),
    ("health: on", "'health': must have keys of its own"),
    ("evaluate: {recall_at: {a: 20}}", "'evaluate.recall_at': takes keys or a list"),
    ("guest: {a: {rollout: []}}", "'guest.a.rollout': must have keys of its own"),
    ("pairs: {treshold: 3}", "is 'threshold' meant?"),
    ("pairs: {max-positives: 3}", "is 'max_positives' meant?"),
    ("pair: {threshold: 3}", "is 'pairs' meant?"),
    ("pairs: {'threshold ': 3}", "is 'threshold' meant?"),
    ("replug: {retrievers: {a: {steps: 3}}}", "'replug.retrievers.a' must be {}"),
    ('encoder: {query_prompt: "\\ud800"}', "invalid Unicode character escape"),
    ('compute: {judge_url: "http://a b:8"}', "'compute.judge_url' must be an address"),
    ('compute: {retriever_url: "http://a\\nb:8"}', "'compute.retriever_url' must be an address"),
    (f"baseline: {{{'a' * 300}: {{model: a}}}}", "longer than 100 bytes"),
    ("compare: {a: {agent: '0', retriever: R_0}}", "there are bm25, 0"),
]
TAKEN = [
    ("encoder: {revision: 1234567}", "encoder.revision", "1234567"),
    ("encoder: {revision: '0123456'}", "encoder.revision", "0123456"),
    ("encoder: {revision: !!str 0123}", "encoder.revision", "0123"),
    ("encoder: {revision: ~}", "encoder.revision", None),
    ("retriever: {learning_rate: 1e-5}", "retriever.learning_rate", 1e-5),
    ("retriever: {learning_rate: '1e-5'}", "retriever.learning_rate", 1e-5),
    ("evaluate: {recall_at: [03, 20]}", "evaluate.recall_at", [3, 20]),
    ("pairs: {threshold: 6_0}", "pairs.threshold", 60),
    ("pairs: {tiers: no}", "pairs.tiers", False),
    ("seed: 7\npairs: {threshold: '${seed}'}", "pairs.threshold", 7),
    ("corpus: {world: &w {names: 9}}\nquestions: {hops: 3}", "corpus.world.names", 9),
]


def loaded(tmp_path: Path, text: str):
    file = tmp_path / "params.yaml"
    file.write_text(text + "\n")
    return load_params(file)


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_a_trap_is_one_line_that_names_the_key(tmp_path, text, message):
    with pytest.raises(InputError) as error:
        loaded(tmp_path, text)
    assert message in str(error.value) and len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(("text", "key", "value"), TAKEN)
def test_what_can_be_read_in_one_way_is_taken(tmp_path, text, key, value):
    found = loaded(tmp_path, text)
    for name in key.split("."):
        found = getattr(found, name)
    assert found == value


def test_keys_may_be_merged_from_an_anchor(tmp_path):
    pairs = "compare:\n  a: &a {agent: '0', retriever: '0'}\n  b: {<<: *a, retriever: bm25}"
    found = loaded(tmp_path, pairs).compare["b"]
    assert (found.agent, found.retriever) == ("0", "bm25")
