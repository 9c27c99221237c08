"""Combinations of parameters, drawn from a seed: every value is legal alone, not every pair is."""

import random

SEED = 18
ONE_ITERATION = ("~iterations.2", "~compare.agent2_r1", "~compare.scripted_r2")

# Values that leave the models in git as they are.
CHANGES = {
    "seed": (0, 1, 7, 2**31 - 1),
    "candidates.top_k": (1, 6, 10, 20, 30),
    "relevance.mode": ("listwise", "off"),
    "relevance.window": (1, 3, 5, 10),
    "relevance.sub_answers": ("true", "false"),
    "relevance.retries": (0, 3),
    "relevance.noise": (0.0, 0.2, 1.0),
    "relevance.gold_in_sub_answers": ("true", "false"),
    "visits.source": ("off", "restated"),
    "visits.miss": (0.0, 0.2, 1.0),
    "visits.false": (0.0, 0.2),
    "correctness.mode": ("lazy", "exhaustive", "off"),
    "correctness.top": ("null", 1, 5, 40),
    "correctness.whole_levels": ("true", "false"),
    "pairs.source": ("gac", "visits", "visits_then_gac", "random_shown", "judge_ranking"),
    "pairs.tiers": ("true", "false"),
    "pairs.instances": ("null", 3),
    "pairs.threshold": (0, 60, 100),
    "pairs.max_positives": (1, 3, 100),
    "pairs.negatives": (1, 5, 15, 19),
    "retriever.input": ("query", "question_thought_query", "labelled_question_history_query"),
    "retriever.instance_weights": ("true", "false"),
    "retriever.tier_weights": ("null", "{}"),
    "retriever.temperature": (0.01, 0.03, 1.0),
    "retriever.weight_decay": (0.0, 0.01),
    "retriever.steps": ("null", 1, 5),
    "retriever.batch_size": (1, 8),
    "retriever.max_length": ("null", 16, 96, 128),
    "retriever.cached_batch": ("null", 4),
    "retriever.warmup": (0.0, 0.5),
    "encoder.steps": (1, 100),
    "encoder.width": (64, 128),
    "encoder.max_length": (16, 96),
    "encoder.input": ("query", "question_query"),
    "index.kind": ("exact", "hnsw", "ivfpq"),
    "index.dtype": ("float32", "float16"),
    "index.ivfpq.lists": (4, 64, 8192),
    "index.ivfpq.bytes": (16, 48, 64),
    "index.hnsw.links": (2, 32),
    "index.candidates": (1, 200),
    "index.seed": (0, 5),
    "agent.steps": (1, 2),
    "agent.questions": (1, 4),
    "agent.rollouts": (1, 2),
    "agent.mini_batch": (1, 8, 64),
    "agent.micro_batch": (1, 16),
    "agent.epochs": (1, 2),
    "agent.temperature": (0.5, 1.0),
    "agent.advantage": ("gae", "grpo"),
    "agent.kl": ("low_var_loss", "k1_reward"),
    "agent.kl_coefficient": (0.0, 0.01),
    "agent.entropy_coefficient": (0.0, 0.001),
    "agent.mask_retrieved": ("true", "false"),
    "agent.max_searches": (1, 4),
    "agent.top_k": (1, 3),
    "rollout.max_searches": (1, 4, 6),
    "rollout.max_turns": ("null", 2, 5),
    "rollout.new_results_only": ("true", "false"),
    "rollout.top_k": (1, 5),
    "rollout.max_information_tokens": (1, 96),
    "rollout.max_context_tokens": (200, 512, 5000),
    "trajectories.questions": ("null", 10, 24, 61),
    "trajectories.fresh": ("true", "false"),
    "questions.training": (30, 60),
    "questions.test": (1, 8),
    "questions.sets": ("null", "[indomain]", "[wording,threehop]"),
    "corpus.world.names": (20, 30),
    "evaluate.recall_at": ("[3]", "[1,50]"),
    "report.cases_per_kind": (0, 3),
    "report.traces": (0, 5),
    "health.stop": ("true", "false"),
    "compute.workers": (1, 3),
    "compute.generation_batch": (1, 50),
    "compute.encoding_batch": (1, 16),
}


def draw(seed: int, number: int) -> list[str]:
    """Overrides: some of CHANGES, each with one of its values; the smoke scale, one iteration."""
    luck = random.Random(f"{seed}/{number}")
    keys = luck.sample(sorted(CHANGES), luck.randint(1, 12))
    changes = [f"{key}={luck.choice(CHANGES[key])}" for key in keys]
    return ["scale=smoke", *ONE_ITERATION, *changes]
