"""Cost of each stage of the pipeline, in the order in which it runs.

Arithmetic is two operations a parameter and token forwards and four more backwards. PPO passes each
token of a rollout through policy (sampling, old probabilities, update), reference and, if it has
one, critic.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from stages.evaluation.blocks import evaluation_protocol, evaluation_rollout
from stages.params import (
    Advantage,
    Baseline,
    CorrectnessMode,
    IndexKind,
    PairSource,
    Params,
    Protocol,
    RelevanceMode,
    Rollout,
    Trainer,
    VisitSource,
)
from stages.planning.approximate import file_bytes
from stages.planning.hardware import SHARES, Accelerator
from stages.planning.nodes import Bound, device_bound, devices_used
from stages.planning.sizes import Sizes, encoder_model, published_pairs
from stages.ppo.blocks import training_protocol, training_rollout
from stages.verl_ppo.config import longest, micro_batch

FORWARD, UPDATE = 2, 6
PROMPT = 250  # tokens of instructions and the question
GRADE = 8  # tokens a passage of the judge's reply
TRAINED_BYTES = 18  # a parameter: 16-bit weights; 32-bit weights, gradients and two moments
CHECKPOINT_BYTES = 12  # a parameter: 32-bit weights and two moments
VOCABULARY = 152_064  # Qwen2.5's
FUSED = 512  # tokens whose logits verl's fused kernels hold at once
LOGIT_BYTES = 28  # their peak for each logit, with a bonus for entropy; 20 without one
OUTPUT_BYTES = 6  # a weight of the output layer, on each device: its gradient in 16 bits, thrice
WIDTH = 0.04  # Qwen2.5's, for the root of its parameters: within a tenth from 0.5B to 14B
TEXT_BYTES = 4.5  # a token
LISTED, WORD = 16, 1.3  # tokens of a listed passage's id and title, and of a word of its text


@dataclass(frozen=True)
class Cost:
    """Of one stage: `read` and `written` in tokens, `hours` of one accelerator, GB of its memory
    (all copies of the model together), GB on disk, and GB of the hosts' memory that it fills with
    what is not on the accelerators.
    """

    stage: str
    rollouts: float = 0
    read: float = 0
    written: float = 0
    hours: float = 0
    memory: float = 0
    disk: float = 0
    host: float = 0


@dataclass(frozen=True)
class Planner:
    """Costs by stage for one run."""

    params: Params
    sizes: Sizes
    accelerator: Accelerator
    copies: int = 2  # of an output on disk: its own, and DVC's in the cache

    def costs(self) -> list[Cost]:
        """Every stage that takes an accelerator or much disk."""
        stages = [self._corpus(), self._index("index-bm25", encode=False), self._index("index-0")]
        for iteration in self.params.iterations:
            stages += [
                self._agent(f"agent@{iteration}"),
                self._trajectories(f"trajectories@{iteration}"),
                *self._visits(f"visits@{iteration}"),
                self._candidates(f"candidates@{iteration}"),
                self._relevance(f"relevance@{iteration}"),
                self._correctness(f"correctness@{iteration}"),
                self._retriever(f"retriever@{iteration}"),
                self._index(f"index@{iteration}"),
                self._evaluate(f"evaluate@{iteration}"),
            ]
        stages += [
            self._with_encoder(block)._index(f"index-baseline@{name}")
            for name, block in self.params.baseline.items()
        ]
        for name, block in self.params.published.items():
            stages += [
                self._retriever(f"retriever-published@{name}", published_pairs(block.source)),
                self._index(f"index-published@{name}"),
            ]
        for name in self.params.replug.retrievers:
            stages += [self._replug(f"replug@{name}"), self._index(f"index-replug@{name}")]
        stages += [self._evaluate(f"compare@{name}") for name in self.params.compare]
        return stages + [self._oracle(f"oracle@{name}") for name in self.params.oracle]

    def hours(self) -> float:
        """Of one accelerator, for the whole run."""
        return sum(cost.hours for cost in self.costs())

    def elapsed(self, cost: Cost, devices: int) -> float:
        """Hours on so many accelerators, of which the stage may be unable to use all."""
        return cost.hours / devices_used(self.bound(cost), devices)

    def bound(self, cost: Cost) -> Bound:
        """How many accelerators a stage can use."""
        return device_bound(cost.stage, self.params, self.sizes, cost.rollouts)

    def labelling(self, questions: int) -> Planner:
        """The same run, if it labels so many training questions an iteration."""
        trajectories = replace(self.params.trajectories, questions=questions)
        return replace(self, params=replace(self.params, trajectories=trajectories))

    def _with_encoder(self, block: Baseline) -> Planner:
        """The same run, if a baseline were its encoder."""
        encoder, dimension = encoder_model(block)
        return replace(self, sizes=replace(self.sizes, encoder=encoder, dimension=dimension))

    def _hours(self, work: str, operations: float) -> float:
        return operations / (self.accelerator.tera * 1e12 * SHARES[work]) / 3600

    def _generation(self, model: float, read: float, written: float) -> float:
        return self._hours("reading", FORWARD * model * read) + self._hours(
            "writing", FORWARD * model * written
        )

    @property
    def _information(self) -> float:
        block = self.params.rollout
        shown = shown_tokens(block, self.params.protocol, self.sizes)
        return min(shown, block.max_information_tokens)

    def _rollouts(
        self, count: float, searches: float, block: Rollout, protocol: Protocol
    ) -> dict[str, float]:
        """Tokens of `count` rollouts of so many searches, each context read once (its prefix is
        cached), on top of the prompt. An agent with a visit tool opens passages between them.
        """
        size, most = self.sizes, block.max_information_tokens
        visits = min(searches * size.visits, block.max_visits) if protocol.visit_tool else 0
        shown = searches * min(shown_tokens(block, protocol, size), most)
        shown += visits * min(size.passage_tokens, most)
        return {
            "rollouts": count,
            "read": count * (PROMPT + shown),
            "written": count * (searches + visits + 1) * size.turn_tokens,
        }

    def _answering(
        self, stage: str, count: float, searches: float, *, evaluated: bool = False
    ) -> Cost:
        params = self.params
        block = evaluation_rollout(params) if evaluated else params.rollout
        protocol = evaluation_protocol(params) if evaluated else params.protocol
        tokens = self._rollouts(count, searches, block, protocol)
        hours = self._generation(self.sizes.agent, tokens["read"], tokens["written"])
        hours += self._search(count * searches)
        disk = (tokens["read"] + tokens["written"]) * TEXT_BYTES / 1e9
        disk *= self.copies
        return Cost(stage, hours=hours, memory=_weights(self.sizes.agent), disk=disk, **tokens)

    def _corpus(self) -> Cost:
        size = self.sizes.passages * self.sizes.passage_tokens * TEXT_BYTES / 1e9
        return Cost("corpus", disk=size * self.copies)

    def _index(self, stage: str, encode: bool = True) -> Cost:
        tokens = self.sizes.passages * self.sizes.passage_tokens
        if not encode:
            return Cost(stage, disk=self.copies * tokens * TEXT_BYTES / 2 / 1e9)
        block, size = self.params.index, self.sizes
        width = 2 if block.dtype == "float16" else 4
        stored = size.passages * size.dimension * width
        if block.kind is IndexKind.ivfpq:
            stored += file_bytes(size.passages, size.dimension, block.ivfpq)
        return Cost(
            stage,
            read=tokens,
            hours=self._hours("encoding", FORWARD * self.sizes.encoder * tokens),
            memory=_weights(self.sizes.encoder) + 2,
            disk=self.copies * stored / 1e9,
        )

    def _agent(self, stage: str) -> Cost:
        block, model = self.params.agent, self.sizes.agent
        searches = min(self.sizes.searches, block.max_searches)
        count = block.steps * block.questions * block.rollouts
        limits, protocol = training_rollout(self.params), training_protocol(self.params)
        tokens = self._rollouts(count, searches, limits, protocol)
        every = tokens["read"] + tokens["written"]
        # of the reference and of what is trained, then the updates
        passes = (1 + self._trained) * FORWARD + self._trained * UPDATE * block.epochs
        return Cost(
            stage,
            hours=self._generation(model, tokens["read"], tokens["written"])
            + self._search(count * searches)
            + self._hours("training", passes * model * every),
            memory=self._training_memory(),
            # checkpoints of what is trained, two while one is written; and the agent
            disk=2 * self._trained * CHECKPOINT_BYTES * model / 1e9 + self.copies * _weights(model),
            host=self._offloaded(),
            **tokens,
        )

    @property
    def _trained(self) -> int:
        """Models that PPO trains: the policy, and with `gae` the critic."""
        return 2 if self.params.agent.advantage is Advantage.gae else 1

    def _training_memory(self) -> float:
        """Of policy, critic and reference; verl has one of them on the devices at a time, and on
        each the logits of a part of a micro-batch and the gradient of the whole output layer.
        """
        model, compute = self.sizes.agent, self.params.compute
        if self.params.agent.trainer is not Trainer.verl:
            return self._trained * TRAINED_BYTES * model / 1e9 + _weights(model)
        tokens = min(FUSED, micro_batch(self.params) * longest(self.params))
        layer = OUTPUT_BYTES * WIDTH * model**0.5
        each = VOCABULARY * (LOGIT_BYTES * tokens + layer)
        return (TRAINED_BYTES * model + compute.all_devices * each) / 1e9

    def _offloaded(self) -> float:
        """Of the policy, the critic and the reference, as verl keeps them while another works."""
        if self.params.agent.trainer is not Trainer.verl:
            return 0
        trained = self._trained * CHECKPOINT_BYTES * self.sizes.agent / 1e9
        return trained + _weights(self.sizes.agent)

    def _search(self, queries: float) -> float:
        """Hours of comparing so many queries with the vectors, or with the lists that are looked
        at. A graph takes none to speak of.
        """
        index = self.params.index
        if index.kind is IndexKind.hnsw:
            return 0
        share = min(1, index.ivfpq.probes / index.ivfpq.lists)
        seen = self.sizes.passages * (share if index.kind is IndexKind.ivfpq else 1)
        return self._hours("searching", FORWARD * self.sizes.dimension * seen * queries)

    def _candidates(self, stage: str) -> Cost:
        vectors = 2 * self.sizes.passages * self.sizes.dimension / 1e9  # in 16 bits
        return Cost(stage, hours=self._search(self._queries), memory=vectors)

    def _trajectories(self, stage: str) -> Cost:
        return self._answering(stage, self._labelled, self.sizes.searches)

    @property
    def _labelled(self) -> int:
        asked = self.params.trajectories.questions
        return self.sizes.training if asked is None else min(asked, self.sizes.training)

    @property
    def _queries(self) -> float:
        return self._labelled * self.sizes.searches

    def _visits(self, stage: str) -> list[Cost]:
        """Nothing unless a judge is asked: of all that a query showed, or of each visit alone."""
        visits, size = self.params.visits, self.sizes
        if visits.source is not VisitSource.judged and not visits.verify:
            return []
        asked, shown = self._queries, self._information
        if visits.verify:
            asked, shown = asked * size.visits, size.passage_tokens
        read, written = asked * (PROMPT + shown + size.turn_tokens), asked * GRADE
        hours = self._generation(size.judge, read, written)
        return [Cost(stage, asked, read, written, hours, _weights(size.judge))]

    def _relevance(self, stage: str) -> Cost:
        if self.params.relevance.mode is RelevanceMode.off:
            return Cost(stage)
        passages = self._queries * self.params.candidates.top_k
        windows = self._queries * -(-self.params.candidates.top_k // self.params.relevance.window)
        whole = PROMPT + self.sizes.searches * (self._information + self.sizes.turn_tokens)
        read = windows * PROMPT + passages * self.sizes.passage_tokens + self._labelled * whole
        written = passages * GRADE + self._queries * GRADE * 2
        hours = self._generation(self.sizes.judge, read, written)
        return Cost(
            stage, windows + self._labelled, read, written, hours, _weights(self.sizes.judge)
        )

    def _correctness(self, stage: str) -> Cost:
        mode = self.params.correctness.mode
        if mode is CorrectnessMode.off:
            return Cost(stage)
        share = self.sizes.lazy_share if mode is CorrectnessMode.lazy else 1.0
        if self.params.pairs.source is PairSource.visits_then_gac:
            share *= 1 - self.sizes.visited
        rollouts = self._queries * self.params.candidates.top_k * share
        return self._answering(stage, rollouts, self.sizes.searches / 2)

    def _retriever(self, stage: str, instances: float | None = None) -> Cost:
        """Of training on so many pairs; None: on those that labelling is assumed to give."""
        block, model = self.params.retriever, self.sizes.encoder
        if instances is None:
            instances = self._queries * self.sizes.selected
        batch = block.batch_size * block.processes
        steps = block.steps or instances * block.epochs / batch
        texts = steps * batch * (2 + self.params.pairs.negatives)
        tokens = texts * min(self.sizes.passage_tokens, block.max_length or 512)
        memory = TRAINED_BYTES * model / 1e9 + 8
        return Cost(
            stage,
            read=tokens,
            hours=self._hours("training", (UPDATE + FORWARD) * model * tokens),
            memory=memory,
            disk=TRAINED_BYTES * model / 1e9 + self.copies * 2 * _weights(model),
        )

    def _replug(self, stage: str) -> Cost:
        """Trajectories of the questions, each passage read once with the answer, and training."""
        block = self.params.replug
        told = self._answering(stage, block.questions, self.sizes.searches)
        context = PROMPT + self.sizes.passage_tokens + 2 * self.sizes.turn_tokens
        rated = block.questions * block.top_k * context
        texts = block.steps * block.batch_size * (1 + block.top_k)
        trained = texts * self.sizes.passage_tokens
        return Cost(
            stage,
            rollouts=told.rollouts,
            read=told.read + rated + trained,
            written=told.written,
            hours=told.hours
            + self._generation(self.sizes.agent, rated, 0)
            + self._hours("training", (UPDATE + FORWARD) * self.sizes.encoder * trained),
            memory=_weights(self.sizes.agent),
            disk=TRAINED_BYTES * self.sizes.encoder / 1e9
            + self.copies * 2 * _weights(self.sizes.encoder),
        )

    def _evaluate(self, stage: str) -> Cost:
        asked = self.sizes.test
        if stage.startswith("evaluate"):  # pairs of `compare` are asked no development set
            asked += self.sizes.development
        return self._answering(stage, asked, self.sizes.searches, evaluated=True)

    def _oracle(self, stage: str) -> Cost:
        """An evaluation of some questions, and of each query a rollout for each candidate: fewer
        where three are right before the last, of which a plan knows nothing."""
        size = self.sizes
        asked = size.drawn(self.params.oracle[stage.partition("@")[2]].questions)
        tried = asked * size.searches * self.params.candidates.top_k
        own = self._answering(stage, asked, size.searches, evaluated=True)
        ranking = self._answering(stage, tried, size.searches / 2, evaluated=True)
        return replace(
            own,
            rollouts=own.rollouts + ranking.rollouts,
            read=own.read + ranking.read,
            written=own.written + ranking.written,
            hours=own.hours + ranking.hours,
        )


def shown_tokens(block: Rollout, protocol: Protocol, sizes: Sizes) -> float:
    """Tokens of what a search finds: to an agent that opens passages, lines of a list."""
    each = sizes.passage_tokens
    if protocol.visit_tool is not None:
        each = min(each, LISTED + WORD * protocol.snippet_words)
    return block.top_k * each


def _weights(parameters: float) -> float:
    """GB in 16 bits."""
    return 2 * parameters / 1e9
