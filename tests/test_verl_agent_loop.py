"""Our agent loop inside verl's own worker makes the rollouts that stages/rollout/loop.py makes.

verl's data set reads our file, its worker finds the loop by our list and runs it, its reward worker
calls our reward. The language model is the base agent kept in git, the retriever a running server.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from rollout_models import make_chat_tokenizer, make_model, save

from stages import corpus, index, questions
from stages.common.records import read_questions
from stages.engines.generator import TransformersGenerator
from stages.params import Agent, Generation, Params, Rollout, Trainer
from stages.params import Protocol as ProtocolParams
from stages.ppo.blocks import training_rollout
from stages.ppo.questions import questions_of_step
from stages.ppo.task import Task
from stages.retrieval.searcher import load_searcher
from stages.rollout.blocks import search_depth
from stages.rollout.loop import record, run, start
from stages.rollout.protocol import AgentProtocol
from stages.rollout.visit_calls import with_visit_tool
from stages.scoring import exact_match
from stages.serving.process import running_server
from stages.verl_ppo import training
from stages.verl_ppo.counts import counted
from stages.verl_ppo.files import Files

AGENT = Path(__file__).parents[1] / "models" / "agent" / "0"
STEPS, COUNT = 2, 12  # 24 of the questions are asked
CASES = {  # parameters, and how some rollout then ends
    "as it is": (Params(), "answer"),
    "one search": (Params(agent=Agent(max_searches=1, top_k=2)), "searches"),
    "unmasked": (Params(agent=Agent(mask_retrieved=False)), "answer"),
    "cut short": (
        Params(
            protocol=ProtocolParams(invalid_message="\nAnswer, or search.\n"),
            rollout=Rollout(max_turn_tokens=9, max_information_tokens=40),
        ),
        "invalid",
    ),
    "little room": (Params(rollout=Rollout(max_context_tokens=70, max_turn_tokens=24)), "length"),
    "new results": (Params(rollout=Rollout(new_results_only=True)), "answer"),
    "no room": (Params(rollout=Rollout(max_context_tokens=24, max_turn_tokens=24)), "length"),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """The passages and questions of the synthetic world, a BM25 index, and a server of it."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("PYTHONPATH", str(AGENT.parents[2]))
        Path("params.yaml").write_text("compute: {threads: 1}\n")
        corpus.main(["--output", "corpus"])
        questions.main(["--corpus", "corpus", "--output", "questions"])
        arguments = "--passages corpus/passages.jsonl --bm25 --output index --metrics index.json"
        index.main(arguments.split())
        passages = folder / "corpus" / "passages.jsonl"
        with running_server(folder / "index", passages, None) as address:
            yield SimpleNamespace(
                address=address,
                searcher=load_searcher(folder / "index", passages, None, Params().compute),
                questions=read_questions(folder / "questions" / "train.jsonl"),
            )


@pytest.fixture(scope="module")
def generator():
    return TransformersGenerator(AGENT)


class Engine:
    """What verl's agent loops call a server manager: the model, answering as vLLM does."""

    def __init__(self, generator):
        self.generator, self.asked, self.seeds = generator, [], []

    async def generate(self, request_id, *, prompt_ids, sampling_params):
        from verl.workers.rollout.replica import TokenOutput

        await asyncio.sleep(0)
        self.asked.append(request_id)
        self.seeds.append(sampling_params.get("seed"))
        [ids] = self.generator.generate(
            [prompt_ids],
            stop=sampling_params["stop"],
            max_new_tokens=sampling_params["max_tokens"],
            temperature=sampling_params["temperature"],
        )
        text = self.generator.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        ended = len(ids) < sampling_params["max_tokens"]
        if ended and not any(stop in text for stop in sampling_params["stop"]):
            ids = [*ids, sampling_params["stop_token_ids"][0]]  # vLLM keeps the end of text
        log_probs = [-float(token) for token in ids]
        versions = {"min_global_steps": 4, "max_global_steps": 4}
        return TokenOutput(token_ids=ids, log_probs=log_probs, extra_fields=versions)


def of_verl(
    case: Params, world, generator, folder: Path, engine: Engine | None = None, base: Path = AGENT
):
    """verl's batch of the first step's greedy rollouts, and the files of it."""
    import verl_workers
    from verl.experimental.agent_loop.agent_loop import AgentLoopWorker
    from verl.experimental.reward_loop.reward_loop import RewardLoopWorker
    from verl.protocol import DataProto
    from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

    agent = replace(case.agent, trainer=Trainer.verl, steps=STEPS, questions=COUNT)
    case, files = replace(case, agent=agent), Files(folder)
    task = Task(base, None, None, None, world.questions, case, 5, folder, print)
    whole = verl_workers.composed(training.prepare(task, files, [world.address]))
    rewards = RewardLoopWorker(whole)
    handle = SimpleNamespace(compute_score=SimpleNamespace(remote=rewards.compute_score))
    worker = AgentLoopWorker(whole, engine or Engine(generator), None, [handle])
    dataset = RLHFDataset([str(files.questions)], worker.tokenizer, whole.data)
    batch = DataProto.from_single_dict(collate_fn([dataset[row] for row in range(COUNT)]))
    batch.meta_info["validate"] = True  # greedy
    return asyncio.get_event_loop().run_until_complete(worker.generate_sequences(batch)), files


@pytest.mark.parametrize("name", CASES)
def test_its_rollouts_are_those_of_the_loop(name, world, generator, tmp_path):
    case, end = CASES[name]
    made, files = of_verl(case, world, generator, tmp_path)
    asked = questions_of_step(world.questions, 0, COUNT, 5)
    protocol, limits = AgentProtocol(case.protocol), training_rollout(case)
    rollouts = [start(question, protocol, generator.tokenizer) for question in asked]
    run(
        rollouts,
        generator,
        partial(world.searcher.search, top_k=search_depth(limits, limits.top_k)),
        protocol,
        limits,
    )
    if limits.new_results_only:
        for rollout in rollouts:
            shown = [passage.id for turn in rollout.turns for passage in turn.passages]
            assert len(set(shown)) == len(shown) == 3 * len(rollout.queries)
    lines = {line["id"]: line for line in counted(files.counts, 0)}
    width = made.batch["prompts"].shape[1]
    for row, rollout in enumerate(rollouts):
        present = made.batch["attention_mask"][row].bool()
        ids = made.batch["input_ids"][row][present].tolist()
        shown = present[width:]
        mask = made.batch["response_mask"][row][shown].tolist()
        if len(rollout.token_ids) == rollout.prompt_length:
            ids, mask = ids[:-1], mask[:-1]  # one masked token stands for nothing
            assert made.batch["response_mask"][row].sum() == 0
        assert ids == rollout.token_ids
        own = rollout.mask[rollout.prompt_length :]
        assert mask == (own if case.agent.mask_retrieved else [1] * len(own))
        assert made.non_tensor_batch["answer"][row] == rollout.answer
        likely = made.batch["rollout_log_probs"][row][shown].tolist()[: len(mask)]
        response = ids[rollout.prompt_length :]
        assert likely == [-float(token) * by for token, by in zip(response, own, strict=True)]
        reward = exact_match(rollout.answer, rollout.question.golden_answers)
        scores = made.batch["rm_scores"][row][shown]
        assert scores.sum() == scores[-1] == reward
        line = lines[rollout.question.id]
        assert (line["em"], line["searches"]) == (reward, record(rollout).searches)
        assert line["response_length"] == sum(rollout.mask)
        assert line["invalid"] == (rollout.stop in ("invalid", "length"))
    assert end in {rollout.stop for rollout in rollouts}


class Visitor:
    """Searches, opens the first passage that is listed, then one that is not, and answers."""

    window = 20_000

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def generate(self, prompts, **settings):
        return [self.tokenizer.encode(self._turn(p), add_special_tokens=False) for p in prompts]

    def _turn(self, prompt: list[int]) -> str:
        text = self.tokenizer.decode(prompt)
        listed = re.findall(r"^\[(\S+)\] ", text, re.MULTILINE)
        word = text.partition("Question: ")[2].partition("?")[0].split()[-1]
        calls = [("search", {"query": word}), ("visit", {"id": (listed or ["?"])[0]})]
        calls += [("visit", {"id": "none"})]
        number = text.count("<|im_start|>assistant") - 1
        if number == len(calls):
            return "so <answer> Ana </answer>"
        name, given = calls[number]
        told = json.dumps({"name": name, "arguments": given})
        return f"look <tool_call>\n{told}\n</tool_call>"


def test_visits_are_those_of_the_loop(world, tmp_path):
    tokenizer = make_chat_tokenizer()
    base = save(make_model("qwen2", tokenizer, context=20_000), tokenizer, tmp_path / "base")
    block = yaml.safe_load((AGENT.parents[2] / "conf/protocol/visit_tool.yaml").read_text())
    limits = Rollout(
        max_turn_tokens=200, max_information_tokens=900, max_context_tokens=9000, max_visits=2
    )
    case = Params(protocol=ProtocolParams(**block), rollout=limits)
    visitor = Visitor(tokenizer)
    made, files = of_verl(case, world, visitor, tmp_path / "verl", Engine(visitor), base)
    asked = questions_of_step(world.questions, 0, COUNT, 5)
    protocol = with_visit_tool(AgentProtocol(case.protocol))
    rollouts = [start(question, protocol, tokenizer) for question in asked]
    search = partial(world.searcher.search, top_k=case.agent.top_k)
    run(rollouts, visitor, search, protocol, training_rollout(case))
    for row, rollout in enumerate(rollouts):
        present = made.batch["attention_mask"][row].bool()
        assert made.batch["input_ids"][row][present].tolist() == rollout.token_ids
        shown = present[made.batch["prompts"].shape[1] :]
        mask = made.batch["response_mask"][row][shown].tolist()
        assert mask == rollout.mask[rollout.prompt_length :]
        assert (rollout.stop, rollout.visits) == ("answer", 2)
    assert any(rollout.turns[1].opened for rollout in rollouts), "something was found and opened"
    lines = {line["id"]: line for line in counted(files.counts, 0)}
    assert all(lines[r.question.id]["refused"] == 1 + (r.turns[1].opened is None) for r in rollouts)


def test_batch_invariant_rollouts_are_drawn_by_seeds_of_their_own(world, generator, tmp_path):
    """One for each step, question, rollout and turn, the same in another run; verl has one for all
    requests of a server. The request's name, by which verl chooses the server, is repeated too."""
    engines = [Engine(generator) for _ in range(3)]
    invariant = Generation(engine="vllm", batch_invariant=True)
    for number, engine in enumerate(engines[:2]):
        of_verl(Params(generation=invariant), world, generator, tmp_path / str(number), engine)
    one, other = engines[0], engines[1]
    assert len(set(one.seeds)) == len(one.seeds) > COUNT and None not in one.seeds
    assert sorted(zip(one.asked, one.seeds)) == sorted(zip(other.asked, other.seeds))
    of_verl(Params(), world, generator, tmp_path / "usual", engines[2])
    assert set(engines[2].seeds) == {None} and not set(engines[2].asked) & set(one.asked)
