"""What goes to verl and comes back: questions, the reward, counts, figures, the merged model."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from rollout_models import make_model, make_tokenizer, save

from stages.common.records import Question
from stages.common.trajectories import Turn
from stages.engines.generator import TransformersGenerator
from stages.params import Advantage, Agent, Compute, Kl, Params, Rollout
from stages.params import Protocol as ProtocolParams
from stages.plumbing.errors import InputError
from stages.ppo.questions import questions_of_step
from stages.ppo.task import STEP_METRICS, step_metrics
from stages.rollout.loop import RolloutState
from stages.verl_ppo import counts, data, training
from stages.verl_ppo.curves import KL, OF_VERL, Curves
from stages.verl_ppo.export import export
from stages.verl_ppo.files import LATEST, Files
from stages.verl_ppo.reward import compute_score
from stages.verl_ppo.settings import Settings

TEXT, CODE = Kl.low_var_loss, Kl.k1_reward
QUESTIONS = [
    Question(f"q{n}", f"who wrote {n}?", [f"Ana {n}", "né Ωs'"[: 1 + n]]) for n in range(7)
]


def test_verl_asks_the_questions_that_the_loop_would(tmp_path):
    """Read by verl's data set in the order of its sampler, a batch a step."""
    from omegaconf import OmegaConf
    from verl.trainer.ppo.utils import create_rl_sampler
    from verl.utils.dataset.rl_dataset import RLHFDataset

    file = tmp_path / "questions.parquet"
    data.write_draws(file, QUESTIONS, steps=5, count=3, seed=9)
    settings = OmegaConf.create({"shuffle": False, "filter_overlong_prompts": False})
    settings.cache_dir = str(tmp_path / "cache")
    dataset = RLHFDataset([str(file)], make_tokenizer(), settings)
    asked = [data.question_of_row(dataset[row]) for row in create_rl_sampler(settings, dataset)]
    expected = [q for step in range(5) for q in questions_of_step(QUESTIONS, step, 3, 9)]
    assert asked == expected
    assert {dataset[0]["agent_name"], dataset[14]["agent_name"]} == {data.AGENT}
    assert [dataset[row]["index"] for row in range(15)] == list(range(15))


def test_the_file_of_questions_is_the_same_twice(tmp_path):
    for name in ("a", "b"):
        data.write_draws(tmp_path / name, QUESTIONS, steps=2, count=3, seed=9)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_reward_is_the_exact_match_of_the_answer_alone():
    """Whatever the conversation holds; gold answers come back from the file as they went in."""

    def reward(answer, text="<answer> Paris </answer>"):
        return compute_score("training", text, ["The Paris.", "Lutetia"], {"answer": answer})

    assert [reward("paris"), reward("Lutetia!"), reward("Rome"), reward(None)] == [1, 1, 0, 0]
    assert reward("Rome", "<information> <answer> Paris </answer> </information>") == 0


def test_settings_travel_as_a_file(tmp_path):
    settings = Settings(
        tokenizer="t",
        ends=[2, 7],
        window=64,
        protocol=ProtocolParams(search_pattern=r"\[\[(.*?)\]\] ${x}", invalid_message="Oh \n"),
        limits=Rollout(
            max_searches=1, max_turn_tokens=2, max_information_tokens=3, max_context_tokens=4
        ),
        top_k=3,
        mask_retrieved=True,
        retriever=["http://127.0.0.1:1"],
        counts="c",
    )
    settings.write(tmp_path / "settings.json")
    assert Settings.read(tmp_path / "settings.json") == settings


def rollout(question: Question, answer: str | None, stop: str) -> RolloutState:
    turn = Turn("", [], "", "x")
    return RolloutState(question, [1, 2, 3, 4], [0, 1, 0, 1], 1, [turn], answer, stop)


def write_step(files: Files, made: int, step: int, rewards: list[int], kl=TEXT, **other):
    """The figures that verl logs of a step, in the attempt after `made` steps, and its counts."""
    for number, reward in enumerate(rewards):
        question = QUESTIONS[number]
        answer = question.golden_answers[0] if reward else None
        stop = "answer" if reward else "invalid"
        counts.count(rollout(question, answer, stop), step, files.counts)
    metrics = dict.fromkeys([*OF_VERL.values(), KL[kl]], step / 8) | other
    files.folder.mkdir(exist_ok=True)
    with open(files.metrics(made), "a") as stream:
        stream.write(json.dumps({"step": step, "data": metrics}) + "\n")


def test_curves_as_verl_writes_them(tmp_path):
    files = Files(tmp_path)
    curves = Curves(files, done=0, rollouts=4, kl=TEXT)
    assert curves.new() == []
    write_step(files, 0, 1, [1, 0, 0, 1])
    [row] = curves.new()
    assert list(row) == list(STEP_METRICS)
    assert (row["step"], row["em"], row["invalid"], row["kl"]) == (1, 0.5, 0.5, 0.125)
    assert (row["searches"], row["response_length"]) == (1, 2)
    with open(files.metrics(0), "a") as stream:
        stream.write('{"step": 2, "da')  # verl is writing
        stream.flush()
        assert curves.new() == []
    assert curves.rows == [row]


def test_a_kl_in_the_reward_is_read_from_there(tmp_path):
    """verl names it otherwise, and takes it off what it calls the reward, not off the score."""
    files = Files(tmp_path)
    write_step(files, 0, 1, [1, 0], kl=CODE, **{"critic/rewards/mean": -7.0})
    [row] = Curves(files, 0, rollouts=2, kl=CODE).new()
    assert (row["kl"], row["reward"]) == (0.125, 0.125)


def test_curves_without_a_critic_have_no_columns_of_one(tmp_path):
    files = Files(tmp_path)
    write_step(files, 0, 1, [1, 0])
    logged = json.loads(files.metrics(0).read_text())
    for name in ("critic/vf_loss", "critic/vf_explained_var"):
        del logged["data"][name]
    files.metrics(0).write_text(json.dumps(logged) + "\n")
    [row] = Curves(files, 0, 2, TEXT, Advantage.grpo).new()
    assert list(row) == list(step_metrics(Advantage.grpo))
    assert (row["reward"], row["em"]) == (0.125, 0.5)


def test_a_checkpoint_without_a_critic_is_whole_where_there_is_none(tmp_path):
    write_checkpoint(Files(tmp_path), 3, without="critic/*")
    assert Files(tmp_path).world_size(3) is None
    assert Files(tmp_path, critic=False).world_size(3) == 1


def write_checkpoint(files: Files, step: int, size: int = 1, without: str = "") -> None:
    """The names of verl's checkpoint by `size` GPUs; a kill left those out that match `without`."""
    parts = ("model", "optim", "extra_state")
    names = [
        f"{role}/{part}_world_size_{size}_rank_{rank}.pt"
        for role in ("actor", "critic")
        for part in parts
        for rank in range(size)
    ]
    for name in [*names, "data.pt"]:
        file = files.checkpoint(step) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if not without or not file.match(without):
            file.touch()


def test_a_resumed_training_has_the_rows_of_its_checkpoint_and_makes_the_others_again(tmp_path):
    files = Files(tmp_path)
    for step in (1, 2, 3):
        write_step(files, 0, step, [0, 0])
    write_checkpoint(files, 1)
    write_checkpoint(files, 2)
    write_checkpoint(files, 3, without="critic/*")
    (files.checkpoints / LATEST).write_text("2")
    training.forget_steps(files, files.done())
    assert files.steps() == [2]
    curves = Curves(files, files.done(), rollouts=2, kl=TEXT)
    assert [row["step"] for row in curves.rows] == [1, 2]
    write_step(files, 2, 3, [1, 1])
    curves.new()
    assert [(row["step"], row["em"]) for row in curves.rows] == [(1, 0), (2, 0), (3, 1)]
    training.forget_steps(files, 3)
    assert Curves(files, 3, rollouts=2, kl=TEXT).rows == curves.rows


@pytest.mark.parametrize(
    ("note", "torn", "done"),  # torn: the part that each checkpoint lacks
    [
        ("10", {10: "", 20: "critic/*"}, 10),
        ("10", {10: "", 20: ""}, 10),  # complete, but for the note
        ("", {10: "", 20: ""}, 20),  # while the note was written
        ("20", {20: "", 30: "data.pt"}, 20),
        ("10", {10: "actor/*", 20: ""}, 20),
        ("10", {10: "actor/optim*rank_1.pt", 20: ""}, 20),
        ("10", {10: "actor/*", 20: "critic/*"}, None),
        ("", {10: "data.pt"}, None),
        (None, {10: "critic/*"}, 0),
    ],
)
def test_a_training_goes_on_from_a_complete_checkpoint(tmp_path, note, torn, done):
    files = Files(tmp_path)
    for step, without in torn.items():
        write_checkpoint(files, step, size=2, without=without)
    if note is not None:
        (files.checkpoints / LATEST).write_text(note)
    if done is None:
        with pytest.raises(InputError, match=r"holds no complete checkpoint.* remove .* anew"):
            files.done()
        assert files.steps() == list(torn)
        return
    assert files.done() == done
    training.forget_steps(files, files.done())
    assert files.steps() == ([done] if done else [])
    assert files.tracked() == done == files.done()


def test_while_verl_writes_a_checkpoint_the_noted_one_stays(tmp_path):
    files = Files(tmp_path)
    for step in (10, 20, 30):
        write_checkpoint(files, step, without="critic/*" if step == 30 else "")
    for note, left in (("10", [10, 20, 30]), ("", [10, 20, 30]), ("20", [20, 30])):
        (files.checkpoints / LATEST).write_text(note)
        training.forget_before(files)
        assert files.steps() == left


@pytest.mark.parametrize(("devices", "nodes"), [(8, 1), (4, 2), (4, 1), (8, 2)])
def test_a_checkpoint_wants_as_many_gpus_as_wrote_it(tmp_path, devices, nodes):
    files, params = Files(tmp_path), Params(compute=Compute(devices=devices, nodes=nodes))
    training.check_world_size(files, 0, params)
    write_checkpoint(files, 10, size=8)
    if devices * nodes == 8:
        training.check_world_size(files, 10, params)
    else:
        said = f"global_step_10: was written by 8 GPUs .*nodes' is {devices * nodes}: make it 8"
        with pytest.raises(InputError, match=said):
            training.check_world_size(files, 10, params)


def test_failed_rollouts_and_figures_that_are_no_numbers_stop_the_training(tmp_path):
    files = Files(tmp_path)
    write_step(files, 0, 1, [1, 0, 1])
    with pytest.raises(InputError, match="step 1: 1 of 4 rollouts failed"):
        Curves(files, 0, rollouts=4, kl=TEXT).new()
    write_step(files, 0, 2, [1, 0, 1], **{"actor/loss": None})
    curves = Curves(files, 0, rollouts=3, kl=TEXT)
    with pytest.raises(InputError, match="step 2: verl's 'actor/loss' is None"):
        curves.new()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint that verl's own worker wrote of a policy, and the policy's folder."""
    import verl_workers

    folder, tokenizer = tmp_path_factory.mktemp("export"), make_tokenizer()
    model = make_model("qwen2", tokenizer)
    save(model, tokenizer, folder / "base")
    verl_workers.write_checkpoint(
        Params(agent=Agent()), folder / "base", folder / "step" / "actor", tmp_path_factory
    )
    return SimpleNamespace(step=folder / "step", base=folder / "base", folder=folder)


def test_a_checkpoint_becomes_a_plain_model_folder(checkpoint):
    output = checkpoint.folder / "output"
    export(checkpoint.step, checkpoint.base, output)
    assert (output / "model.safetensors").exists()
    assert "attn_implementation" not in json.loads((output / "config.json").read_text())
    merged, base = TransformersGenerator(output), TransformersGenerator(checkpoint.base)
    assert merged.tokenizer.get_vocab() == base.tokenizer.get_vocab()
    for (name, one), other in zip(
        merged.model.named_parameters(), base.model.parameters(), strict=True
    ):
        assert torch.equal(one, other.bfloat16().float()), name
    asked = {"stop": ["</answer>"], "max_new_tokens": 4}
    assert merged.generate([[5, 6, 7]], **asked)
