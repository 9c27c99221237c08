"""Guests: demonstrations retold in other protocols, and the stage that teaches them."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from stages import guest
from stages.common import records
from stages.common.models import model_digest
from stages.common.records import Passage, read_json
from stages.composing.compose import compose
from stages.engines.generator import TransformersGenerator
from stages.engines.loading import load_agent
from stages.guests.retelling import OURS, Retelling, other_wording
from stages.guests.tokenizer import guest_tokenizer
from stages.language import supervised
from stages.params import Guest, Wording, load_params, read_block
from stages.params import Protocol as Block
from stages.plumbing.errors import InputError
from stages.rollout.protocol import load_protocol, read_protocol
from stages.running import scratch
from stages.scripted.facts import CRAFTS, MAKER, PERSONAL, Fact
from stages.teaching.demonstrations import demonstration, drill

REPO = Path(__file__).parents[1]
NAMES = ("r1_searcher", "simple_deep_searcher", "tool_calls")
SAVED = 50  # steps between two save points
TINY = {"layers": 2, "width": 32, "steps": SAVED + 2, "easy_steps": 1, "batch_size": 2}


@pytest.fixture(scope="module")
def composed(tmp_path_factory) -> dict:
    """params.yaml of the laptop scale with all guests, small, their protocols as whole paths."""
    file = tmp_path_factory.mktemp("params") / "params.yaml"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPO)
        sizes = [f"base.agent.{key}={value}" for key, value in TINY.items()]
        compose(file, ["+guest=all", "compute.threads=1", *sizes])
    composed = yaml.safe_load(file.read_text(encoding="utf-8"))
    for block in composed["guest"].values():
        block["protocol"] = str(REPO / block["protocol"])
    return composed


@pytest.fixture
def project(composed, tmp_path, monkeypatch):
    """A folder with these parameters; returns how to change a guest in them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(guest, "HELD_OUT", 2)

    def write(name: str = NAMES[0], **changes) -> None:
        guests = composed["guest"] | {name: composed["guest"].get(name, {}) | changes}
        text = yaml.safe_dump(composed | {"guest": guests})
        Path("params.yaml").write_text(text, encoding="utf-8")

    write()
    return write


def make(name: str) -> dict:
    guest.main(["--name", name, "--output", name, "--metrics", f"{name}.json"])
    return json.loads(Path(f"{name}.json").read_text())


@cache
def retelling(name: str):
    """A guest's settings, protocol, tokenizer and way to retell."""
    composed = yaml.safe_load((REPO / "conf/guest/all.yaml").read_text(encoding="utf-8"))
    block = composed["guest"][name]
    block |= {"protocol": str(REPO / block["protocol"]), "wording": Wording(block["wording"])}
    known = Guest(**block)
    protocol = read_protocol(known.protocol)
    tokenizer = guest_tokenizer(known, read_block(known.protocol, Block))
    return known, protocol, tokenizer, Retelling(known, protocol, tokenizer)


@pytest.mark.parametrize("name", NAMES)
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(), doubt=st.sampled_from([0.0, 1.0]))
def test_retold_demonstrations_do_the_same_in_the_guests_protocol(name, seed, doubt):
    known, protocol, tokenizer, retell = retelling(name)
    ours = demonstration(seed, doubt)
    told = retell(ours)
    assert [segment.own for segment in told] == [segment.own for segment in ours]
    length = 0
    for mine, retold in zip(ours, told, strict=True):
        ids = tokenizer.encode(retold.text, add_special_tokens=False)
        assert tokenizer.decode(ids) == retold.text
        length += len(ids)
        if not mine.own:
            continue
        right, action = OURS.parse(mine.text), protocol.parse(retold.text)
        assert (action.kind, action.thought) == (right.kind, right.thought)
        swapped = right.kind == "search" and known.wording is Wording.reformulation
        assert action.value == (other_wording(right.value) if swapped else right.value)
        assert len(ids) <= 32, "rollout.max_turn_tokens"
        stops = [
            retold.text.find(stop) + len(stop) for stop in protocol.stop if stop in retold.text
        ]
        assert stops in ([len(retold.text)], []), "a turn ends at its stop string"
    assert length <= 512, "rollout.max_context_tokens"


@pytest.mark.parametrize("name", NAMES)
def test_a_retold_conversation_is_the_one_of_rollouts(name):
    _, protocol, tokenizer, retell = retelling(name)
    ours = demonstration("conversation", 1.0)
    for number, (mine, retold) in enumerate(zip(ours, retell(ours), strict=True)):
        ids = tokenizer.encode(retold.text, add_special_tokens=False)
        if number == 0:
            question = mine.text.removeprefix("Question: ").removesuffix("\n")
            assert ids == protocol.prompt_ids(question, tokenizer)
        elif not mine.own:
            lines = mine.text.splitlines()[2:-1]
            passages = [Passage(line, "a title", line) for line in lines]
            assert protocol.fit(passages, tokenizer, 96) == (retold.text, ids)


@pytest.mark.parametrize("name", NAMES)
def test_drills_keep_their_facts_and_lose_our_marks(name):
    _, protocol, _, retell = retelling(name)
    ours = drill(1)
    for mine, retold in zip(ours[2:], retell(ours)[2:], strict=True):
        words = mine.text.replace("<think>", "").replace("</think>", "").split()
        assert retold.text.split() == words, "none of the three puts each thought between tags"
    assert protocol.parse("".join(s.text for s in retell(ours)[2:])).kind == "invalid"


def test_every_fact_has_two_wordings_that_lead_to_each_other():
    facts = [Fact(craft.kind, "Barax Tikoq", MAKER, "") for craft in CRAFTS]
    facts += [Fact("city", "Kaliton", "country", "")]
    facts += [Fact("chemist", "Soman", relation, "") for relation in PERSONAL]
    for fact in facts:
        assert other_wording(fact.query) == fact.reformulation
        assert other_wording(fact.reformulation) == fact.query
    with pytest.raises(ValueError, match="'what is that'"):
        other_wording("what is that")


@pytest.mark.parametrize("name", NAMES)
def test_a_made_guest_talks_as_its_folder_says(name, project):
    metrics = make(name)
    assert metrics["parameters"] > 0 and metrics["actions"] >= 4
    params = load_params()
    agent = load_agent(name, params.generation, params.compute)
    protocol = load_protocol(name, params.protocol)
    assert (
        Path(name, "protocol.yaml").read_bytes() == Path(params.guest[name].protocol).read_bytes()
    )
    ids = protocol.prompt_ids("Who is the author of the book Barax Tikoq?", agent.tokenizer)
    assert len(ids) < 120 and agent.tokenizer.unk_token_id is None
    [written] = agent.generate([ids], stop=protocol.stop, max_new_tokens=5)
    ends = *protocol.stop, agent.tokenizer.eos_token
    assert len(written) == 5 or agent.tokenizer.decode(written).endswith(ends)
    with torch.inference_mode():
        logits = AutoModelForCausalLM.from_pretrained(name)(torch.tensor([ids + written])).logits
    assert logits[0, len(ids) - 1 : -1].argmax(-1).tolist() == written


def test_a_killed_guest_goes_on_with_the_same_result(project, monkeypatch):
    whole = make("r1_searcher"), _bytes("r1_searcher")
    steps = _dies(monkeypatch, supervised, "own_loss", SAVED + 1)
    examined = _dies(monkeypatch, TransformersGenerator, "generate", 1)
    written = _dies(monkeypatch, records, "write_json", 1)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            make("r1_searcher")
    assert (make("r1_searcher"), _bytes("r1_searcher")) == whole
    last = TINY["steps"] - SAVED
    assert len(steps) == SAVED + 1 + 3 * last, "what was saved was done again"
    assert (len(examined), len(written)) == (3, 2)
    assert not list(scratch.ROOT.glob("guest*"))


def _dies(monkeypatch, owner, name: str, call: int) -> list:
    """Let a function die at one of its calls (from 1); returns the list that its calls go into."""
    real, calls = getattr(owner, name), []

    def dying(*given, **options):
        calls.append(given)
        if len(calls) == call:
            raise KeyboardInterrupt
        return real(*given, **options)

    monkeypatch.setattr(owner, name, dying)
    return calls


def _bytes(folder: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def test_a_ready_made_guest_is_a_reference(project):
    model = str(REPO / "models/agent/0")
    project("mine", model=model, protocol=str(REPO / "conf/protocol/tiny.yaml"))
    assert make("mine") == {"model": model}
    known = {"revision": None, "digest": model_digest(Path(model))}
    assert read_json("mine/reference.json") == {"model": model, **known}
    assert {file.name for file in Path("mine").iterdir()} == {"reference.json", "protocol.yaml"}
    protocol = str(REPO / "conf/protocol/tiny.yaml")
    project("mine", model=model, protocol=protocol, rollout={"max_turns": 7})
    make("mine")
    assert Path("mine/rollout.yaml").read_text() == "max_turns: 7\n"
    project("mine", model=model, protocol=str(REPO / "conf/protocol/tiny_tool_calls.yaml"))
    with pytest.raises(InputError, match="no chat template"):
        make("mine")


def test_bad_guests_are_named(project):
    with pytest.raises(InputError, match="'guest' has no 'nobody'"):
        make("nobody")
    for changes, reason in (
        ({"doubt": 2}, "guest.r1_searcher.doubt"),
        ({"search": "{query}"}, "guest.r1_searcher.search"),
        ({"answer": "{thought}"}, "guest.r1_searcher.answer"),
        ({"wording": "loud"}, "guest.r1_searcher.wording"),
        ({"rollout": {"max_turns": 0}}, "guest.r1_searcher.rollout.max_turns"),
        ({"rollout": {"turns": 1}}, "guest.r1_searcher.rollout.turns"),
        ({"protocol": "none.yaml"}, "none.yaml"),
        (
            {"protocol": str(REPO / "conf/protocol/visit_tool.yaml")},
            r"visit_tool\.yaml: 'visit_tool' is taught to no agent made here",
        ),
    ):
        project(**changes)
        with pytest.raises(InputError, match=reason):
            make("r1_searcher")
    project("1", doubt=0)
    with pytest.raises(InputError, match=r"guest\.1"):
        make("r1_searcher")


def test_only_a_guest_of_the_parameters_can_be_compared(composed, tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(composed))
    params = load_params(file)
    assert {pair.agent for pair in params.compare.values()} >= set(NAMES)
    file.write_text(yaml.safe_dump(composed | {"guest": {}}))
    with pytest.raises(InputError, match="no iteration 'r1_searcher'"):
        load_params(file)
    assert load_params(REPO / "params.yaml").guest == {}, "none in the normal run"
