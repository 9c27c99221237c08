"""PPO on a real model of a few thousand parameters that searches, answers and is rewarded."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from ppo_world import QUESTIONS, write_base

from stages.common.records import Passage
from stages.common.search import Hit
from stages.engines.generator import TransformersGenerator
from stages.loop_ppo.critic import Critic
from stages.loop_ppo.learner import Learner
from stages.loop_ppo.policy import token_log_probs
from stages.loop_ppo.steps import sample_rollouts, to_batch, train_steps
from stages.params import Advantage, Agent, Kl, Rollout
from stages.params import Protocol as ProtocolParams
from stages.plumbing.errors import InputError
from stages.ppo.questions import questions_of_step
from stages.ppo.task import step_metrics
from stages.rollout.protocol import AgentProtocol

LIMITS = Rollout(
    max_searches=2, max_turn_tokens=12, max_information_tokens=32, max_context_tokens=128
)
PROTOCOL = AgentProtocol(ProtocolParams())


def search(requests) -> list[list[Hit]]:
    """The passage of the plant in the query."""
    return [[Hit(Passage(r.query, r.query, f"{r.query} is a plant"), 1.0)] for r in requests]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base"))


def settings(**changes) -> Agent:
    tiny = {
        "steps": 3,
        "questions": 3,
        "rollouts": 4,
        "mini_batch": 6,
        "micro_batch": 4,
        "max_searches": 2,
        "policy_learning_rate": 1e-3,
        "value_learning_rate": 1e-2,
    }
    return Agent(**{**tiny, **changes})


def setup(base, params: Agent) -> SimpleNamespace:
    generator = TransformersGenerator(base, top_p=params.top_p)
    reference = TransformersGenerator(base).model
    critic = Critic.from_base(str(base)) if params.advantage is Advantage.gae else None
    learner = Learner(generator.model, critic, reference, params, seed=7)
    return SimpleNamespace(generator=generator, learner=learner, params=params)


def rollouts_of(run, step=0):
    return sample_rollouts(
        QUESTIONS[:3], run.generator, search, PROTOCOL, LIMITS, run.params, seed=7, step=step
    )


def trained(run, folder, log=lambda step, row: None, seed=7) -> list[dict]:
    return train_steps(
        run.learner,
        run.generator,
        search,
        QUESTIONS,
        PROTOCOL,
        LIMITS,
        run.params,
        1,
        seed,
        folder,
        log,
    )


def weights(run) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in run.generator.model.state_dict().items()}


def test_the_reward_rises(base, tmp_path):
    params = settings(steps=25, questions=6, rollouts=8, mini_batch=24, policy_learning_rate=3e-3)
    curves = trained(setup(base, params), tmp_path)
    first = sum(row["reward"] for row in curves[:3]) / 3
    last = sum(row["reward"] for row in curves[-3:]) / 3
    assert first < 0.5
    assert last > first + 0.3
    assert [row["step"] for row in curves] == list(range(1, 26))


def test_a_killed_run_goes_on_to_the_same_bytes(base, tmp_path):
    whole = setup(base, settings())
    (tmp_path / "whole").mkdir()
    curves = trained(whole, tmp_path / "whole")

    def kill(step, row):
        if step == 3:
            raise KeyboardInterrupt

    (tmp_path / "killed").mkdir()
    with pytest.raises(KeyboardInterrupt):
        trained(setup(base, settings()), tmp_path / "killed", log=kill)
    resumed, seen = setup(base, settings()), []
    assert trained(resumed, tmp_path / "killed", lambda step, row: seen.append(step)) == curves
    assert seen == [3]
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(resumed)[name]), name
    for one, other in zip(whole.learner.critic.parameters(), resumed.learner.critic.parameters()):
        assert torch.equal(one, other)


def test_a_group_teaches_without_a_critic(base, tmp_path):
    """Two steps, of which the second goes on from a checkpoint that holds no critic."""
    params = settings(steps=2, advantage=Advantage.grpo, policy_learning_rate=3e-3)
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole, before = setup(base, params), weights(setup(base, params))
    curves = trained(whole, tmp_path / "whole")
    assert any((tensor != before[name]).any() for name, tensor in weights(whole).items())
    assert set(whole.learner.state()) == {"policy", "policy_optimizer"}
    assert list(curves[0]) == list(step_metrics(Advantage.grpo))
    assert not {"value_loss", "explained_variance"} & set(curves[0])

    def kill(step, row):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(setup(base, params), tmp_path / "killed", log=kill)
    resumed, seen = setup(base, params), []
    assert trained(resumed, tmp_path / "killed", lambda step, row: seen.append(step)) == curves
    assert seen == [2]
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(resumed)[name]), name


def test_a_question_whose_rollouts_are_alike_teaches_nothing(base):
    """Without a KL, a group of one reward moves no weight, whatever the reward is."""
    params = settings(advantage=Advantage.grpo, kl_coefficient=0.0)
    for reward in (0, 1):
        run = setup(base, params)
        before = weights(run)
        rollouts = rollouts_of(run)
        run.learner.policy_optimizer.param_groups[0]["weight_decay"] = 0.0
        run.learner.update(to_batch(rollouts, [reward] * len(rollouts), "cpu"), 0)
        assert all(torch.equal(tensor, before[name]) for name, tensor in weights(run).items())


def test_another_seed_gives_another_agent(base, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = setup(base, settings(steps=1)), setup(base, settings(steps=1))
    trained(one, tmp_path / "a", seed=7)
    trained(other, tmp_path / "b", seed=8)
    assert any(not torch.equal(t, weights(other)[n]) for n, t in weights(one).items())


@pytest.mark.parametrize("part", ["policy", "value"])
def test_a_training_that_diverges_names_what_to_lower(base, tmp_path, part):
    run = setup(base, settings(steps=8, **{f"{part}_learning_rate": 1e30}))
    told = rf"^agent, step \d: .* \(last finite: .*{part} loss .* 'agent\.{part}_learning_rate'$"
    with pytest.raises(InputError, match=told):
        trained(run, tmp_path)


@pytest.mark.parametrize("part", ["policy", "value"])
def test_a_gradient_that_is_no_number_changes_no_weight(base, tmp_path, part):
    run = setup(base, settings())
    model = run.learner.policy if part == "policy" else run.learner.critic
    before, parameter = weights(run), next(model.parameters())
    parameter.register_hook(lambda gradient: gradient * float("nan"))
    told = rf"step 1: {part} gradient norm is nan .*lower 'agent\.{part}_learning_rate'"
    with pytest.raises(InputError, match=told):
        trained(run, tmp_path)
    assert all(torch.equal(tensor, weights(run)[name]) for name, tensor in before.items())


def test_weights_that_the_last_step_breaks_are_seen(base, tmp_path):
    run = setup(base, settings(steps=1))
    with torch.no_grad():  # of a token that no rollout holds, so that no step reads it
        run.generator.model.get_input_embeddings().weight[-1] = float("inf")
    with pytest.raises(InputError, match=r"1 of \d+ weight tensors are not finite|logits"):
        trained(run, tmp_path)


def test_the_reference_stays_as_it_was(base, tmp_path):
    run = setup(base, settings())
    before = {name: t.clone() for name, t in run.learner.reference.state_dict().items()}
    curves = trained(run, tmp_path)
    after = run.learner.reference.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert curves[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert curves[-1]["kl"] > 1e-6


def test_positions_of_retrieved_tokens_get_no_gradient(base):
    """Through the model itself: only hidden states that predict a token of the agent learn."""
    run = setup(base, settings())
    rollouts = rollouts_of(run)
    batch = to_batch(rollouts, [1] * len(rollouts), "cpu")
    caught = {}

    def catch(module, arguments, output):
        caught["hidden"] = output.last_hidden_state
        caught["hidden"].retain_grad()

    handle = run.generator.model.get_decoder().register_forward_hook(catch)
    log_probs, _ = token_log_probs(run.generator.model, batch.token_ids, batch.mask, 1.0)
    handle.remove()
    log_probs.sum().backward()
    learned = caught["hidden"].grad.abs().sum(-1) > 0  # (rollouts, length - 1)
    assert learned.any()
    assert torch.equal(learned, batch.mask)


def test_log_probs_are_those_of_a_plain_forward_pass(base):
    """One rollout at a time, without padding, by softmax over all logits at temperature 2."""
    run = setup(base, settings())
    rollouts = rollouts_of(run)
    batch = to_batch(rollouts, [0] * len(rollouts), "cpu")
    with torch.no_grad():
        found, entropy = token_log_probs(run.generator.model, batch.token_ids, batch.mask, 2.0)
        for row, rollout in enumerate(rollouts):
            logits = run.generator.model(input_ids=torch.tensor([rollout.token_ids])).logits[0]
            probabilities = torch.softmax(logits / 2, dim=-1)
            for position in range(1, len(rollout.token_ids)):
                expected, spread = 0.0, 0.0
                if rollout.mask[position]:
                    before = probabilities[position - 1]
                    expected = before[rollout.token_ids[position]].log().item()
                    spread = torch.special.entr(before).sum().item()
                assert found[row, position - 1].item() == pytest.approx(expected, abs=1e-4)
                assert entropy[row, position - 1].item() == pytest.approx(spread, abs=1e-4)


def test_unmasked_rollouts_learn_what_was_retrieved(base):
    """The prompt stays out; everything after it is learned, the reward at its last token."""
    run = setup(base, settings(mask_retrieved=False))
    rollouts = rollouts_of(run)
    batch = to_batch(rollouts, [1] * len(rollouts), "cpu", mask_retrieved=False)
    assert any(0 in rollout.mask[rollout.prompt_length :] for rollout in rollouts)
    for row, rollout in enumerate(rollouts):
        length, prompt = len(rollout.token_ids), rollout.prompt_length
        learned = batch.mask[row].nonzero().flatten().tolist()
        assert learned == list(range(prompt - 1, length - 1))
        assert batch.scores[row].nonzero().flatten().tolist() == [length - 2]


def test_the_entropy_bonus_and_a_kl_in_the_reward_reach_the_weights(base, tmp_path):
    plain = {}
    for name, changes in (
        ("text", {}),
        ("entropy", {"entropy_coefficient": 0.5}),
        ("code", {"kl": Kl.k1_reward, "kl_coefficient": 0.5}),
        ("none", {"kl_coefficient": 0.0}),
        ("unmasked", {"mask_retrieved": False}),
        ("top_p", {"top_p": 0.5}),
    ):
        (tmp_path / name).mkdir()
        run = setup(base, settings(**changes))
        plain[name] = trained(run, tmp_path / name)
        assert [row["step"] for row in plain[name]] == [1, 2, 3]
    last = {name: tuple(rows[-1].values()) for name, rows in plain.items()}
    assert len(set(last.values())) == len(last), "each changes what is learned"


def test_values_start_at_zero_and_do_not_see_the_future(base):
    critic = Critic.from_base(str(base))
    ids = torch.tensor([[3, 4, 5, 6, 7, 8]])
    everywhere = torch.ones(1, 5, dtype=torch.bool)
    assert (critic(ids, everywhere) == 0).all()
    torch.nn.init.ones_(critic.head.weight)
    other = torch.tensor([[3, 4, 5, 6, 9, 9]])
    one, two = (critic(tokens, everywhere) for tokens in (ids, other))
    assert torch.allclose(one[:, :4], two[:, :4])
    assert not torch.allclose(one[:, 4], two[:, 4])


def family(name: str):
    """A tiny language model of random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    kinds = {"qwen2": (Qwen2Config, Qwen2ForCausalLM), "llama": (LlamaConfig, LlamaForCausalLM)}
    config, model = kinds[name]
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "vocab_size": 40}
    torch.manual_seed(0)
    return model(config(**sizes, num_attention_heads=4, num_key_value_heads=4)).eval()


@pytest.mark.parametrize("kind", ["laptop", "qwen2", "llama"])
def test_the_last_layer_at_the_masks_positions_gives_the_numbers_of_all(base, kind):
    """Log-probabilities and gradients against the library's own logits of every position."""
    model = TransformersGenerator(base).model if kind == "laptop" else family(kind)
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(3, 20, (3, 12), generator=draw)
    mask = torch.rand(3, 11, generator=draw) < 0.4
    seen = []
    inner = getattr(model.base_model.layers[-1], "feed_forward", None)
    inner = inner or model.base_model.layers[-1].mlp
    hook = inner.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0].shape[1]))
    found, _ = token_log_probs(model, ids, mask, 1.3)
    hook.remove()
    assert seen == [int(mask.sum())], "the others are left out"
    found.sum().backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    every = torch.log_softmax(model(input_ids=ids[:, :-1]).logits / 1.3, dim=-1)
    plain = every.gather(2, ids[:, 1:, None]).squeeze(2) * mask
    plain.sum().backward()
    assert torch.allclose(found, plain, atol=1e-5)
    for name, p in model.named_parameters():
        assert torch.allclose(gradients[name], p.grad, atol=1e-4), name


@pytest.mark.parametrize("changes", [{}, {"mini_batch": 12}, {"epochs": 2}, {"kl": Kl.k1_reward}])
def test_an_update_is_that_of_log_probabilities_that_were_all_made_first(base, changes):
    """The first mini-batch's own forward pass against one more before it, written out."""
    params = settings(entropy_coefficient=0.01, **changes)
    one, other = setup(base, params), setup(base, params)
    estimate, learn = other.learner._estimate, other.learner._learn
    other.learner._estimate = lambda batch, _, step: estimate(batch, torch.arange(0), step)
    other.learner._learn = lambda *given: learn(*given[:-1], False)
    batch = to_batch(rollouts_of(one), [1, 0] * 6, "cpu")
    metrics, plain = one.learner.update(batch, 0), other.learner.update(batch, 0)
    assert metrics.keys() == plain.keys()
    for name, number in metrics.items():
        assert number == pytest.approx(plain[name], abs=2e-5), name
    for name, tensor in weights(one).items():
        assert torch.allclose(tensor, weights(other)[name], atol=2e-5), name


def test_every_question_is_asked_once_a_pass():
    asked = [questions_of_step(QUESTIONS, step, 2, seed=1) for step in range(6)]
    for start in (0, 3):
        seen = [question.id for step in asked[start : start + 3] for question in step]
        assert sorted(seen) == [question.id for question in QUESTIONS]
    assert asked[:3] != asked[3:]
