"""Typed parameters: `params.yaml` read once, checked whole, used by attribute.

One dataclass a block; a block is named as its stage. An unknown key, a wrong type or a value out
of range is one InputError that names the key. `compute` says how things are computed (device,
batch sizes); it is no dependency of any stage, so changing it never reruns one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from operator import attrgetter
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from omegaconf import MISSING

from stages.common.records import invalid_yaml
from stages.plumbing.errors import InputError
from stages.plumbing.reasons import reason

Block = TypeVar("Block")

WORLD = "stages/world"  # as a source: the code that it is made by, which DVC hashes

COUNTS = (  # blocks whose integers are all at least 1
    *("agent", "candidates", "compute", "corpus.world", "correctness", "encoder", "index.hnsw"),
    *("index.ivfpq", "questions", "replug", "retriever", "rollout", "trajectories"),
)
LEAST = {  # of other integers
    "index.sample": 1,
    "index.candidates": 1,
    "index.recall_queries": 1,
    "relevance.window": 1,
    "relevance.retries": 0,
    "relevance.max_reply_tokens": 1,
    "pairs.max_positives": 1,
    "pairs.negatives": 1,
    "evaluate.bootstrap_samples": 2,
    "report.cases_per_kind": 0,
    "report.traces": 0,
}
POOLED = ("all", "mean")  # what tables call all question sets together
HEADS = 4  # of the language models made from scratch
HIGHEST_SEED = 2**31 - 1  # of the libraries that are seeded, the narrowest takes so much
CODES = 256  # of a byte: product quantisation is trained on as many vectors at least
PLAIN = re.compile(r"\w[\w-]*")  # names that files and DVC's stages can bear
FASTEST = 1e30  # a learning rate; with a larger one an optimiser leaves the range of float32
DTYPES = ("float32", "bfloat16", "float16")


class Engine(Enum):
    """What generates text."""

    transformers = "transformers"
    vllm = "vllm"


class Trainer(Enum):
    """What trains the agent: stages/loop_ppo in this process, or verl on GPUs and clusters."""

    loop = "loop"
    verl = "verl"


class Kl(Enum):
    """Where the KL to the base agent counts, and by which estimate of it, a token.

    `low_var_loss`: a term of the loss, r - log r - 1 with r = base / policy (the paper's text).
    `k1_reward`: log(policy / base), taken off the reward of its token (the public code).
    """

    low_var_loss = "low_var_loss"
    k1_reward = "k1_reward"


class RelevanceMode(Enum):
    """Whether the judge's local relevance (LR) is used."""

    listwise = "listwise"
    off = "off"


class CorrectnessMode(Enum):
    """How global answer correctness (GAC) is evaluated."""

    lazy = "lazy"
    exhaustive = "exhaustive"
    off = "off"


class Wording(Enum):
    """With which of a fact's two wordings a guest asks first: see stages/scripted/facts.py."""

    query = "query"
    reformulation = "reformulation"


class IndexKind(Enum):
    """How an index is searched: see stages/retrieval."""

    exact = "exact"
    ivfpq = "ivfpq"
    hnsw = "hnsw"


RETRIEVER_INPUTS = ("query", "question_query", "question_history_query")  # named templates
INPUT_FIELDS = ("question", "thought", "history", "query")


def input_fault(text: str) -> str | None:
    """Why `text` is neither the name of what a retriever reads nor a template; None if it is."""
    if text in RETRIEVER_INPUTS:
        return None
    names = re.findall(r"\{(\w*)\}", text)
    for name in names:
        if name not in INPUT_FIELDS:
            return f"has no field {{{name}}}: there are {', '.join(INPUT_FIELDS)}"
    if "query" not in names:
        return f"must be {', '.join(RETRIEVER_INPUTS)} or a template with {{query}}"
    return None


@dataclass
class Iteration:
    previous: str = "0"


@dataclass
class Pair:
    agent: str = "0"
    retriever: str = "0"


@dataclass
class Protocol:
    """How an agent talks: see conf/protocol/.

    A word of `tags` stands for <word> and </word>, a mark for itself. `tool` describes the search
    to a chat template; null: no tool calls. In `passage`, {title} is the passage's first line as it
    stands and {name} the same without quotes around it. `strip` cuts the blanks at either end of
    the passages. `retokenise`: every turn reads the whole conversation tokenised anew as one text.
    """

    name: str = "tiny"
    chat: bool = False
    tool: str | None = None
    prompt: str = "Question: {question}\n"
    search_pattern: str = r"<search>(.*?)</search>"
    answer_pattern: str = r"<answer>(.*?)</answer>"
    thought_pattern: str = r"<think>(.*?)</think>"
    stop: list[str] = field(default_factory=lambda: ["</search>", "</answer>"])
    tags: list[str] = field(default_factory=lambda: ["think", "search", "information", "answer"])
    marks: list[str] = field(default_factory=list)
    information: str = "\n<information>\n{passages}</information>\n"
    strip: bool = False
    passage: str = "{text}\n"
    invalid_message: str | None = None
    retokenise: bool = False


@dataclass
class Generation:
    """Engines give the same text in float32 only, so what engine it was matters in the others."""

    engine: Engine = Engine.transformers
    dtype: str = "float32"


@dataclass
class Rollout:
    """Limits of every rollout outside PPO: trajectories, GAC and evaluation. `max_turns` null: one
    turn more than `max_searches`, which cannot search.
    """

    top_k: int = 3
    max_searches: int = 4
    max_turns: int | None = None
    max_turn_tokens: int = 32
    max_information_tokens: int = 64
    max_context_tokens: int = 512


@dataclass
class OwnRollout:
    """An agent's own values in place of those of `rollout`; null: the same."""

    top_k: int | None = None
    max_searches: int | None = None
    max_turns: int | None = None
    max_turn_tokens: int | None = None
    max_information_tokens: int | None = None
    max_context_tokens: int | None = None


@dataclass
class World:
    """Sizes of the synthetic world: how many words of each class, and bearers of a name."""

    names: int = 110
    namesakes_min: int = 5
    namesakes_max: int = 8
    title_words: int = 30
    cities: int = 40
    countries: int = 16
    universities: int = 32
    prizes: int = 32
    test_share: float = 0.4


@dataclass
class Corpus:
    """`source`: the synthetic world's code, a JSON Lines file, or a description of public files."""

    source: str = WORLD
    world: World = field(default_factory=World)


@dataclass
class Questions:
    """`source`: the synthetic world's code, a folder train.jsonl, test/NAME.jsonl, or a description
    of public sets. Of a file, at most so many questions are drawn; null: all. `sets`: the names of
    test sets; null: all that the source has.
    """

    source: str = WORLD
    training: int | None = 1000
    test: int | None = 200  # a set
    sets: list[str] | None = None


@dataclass
class BaseModel:
    """A ready-made language model, or (`model` null) one made from scratch."""

    model: str | None = None
    revision: str | None = None
    layers: int = 4
    width: int = 128
    steps: int = 500
    easy_steps: int = 100
    batch_size: int = 16
    learning_rate: float = 2e-3


@dataclass
class BaseAgent(BaseModel):
    """The base agent; `doubt` is the habit of its demonstrations to search twice for a fact."""

    doubt: float = 0.7


@dataclass
class BaseJudge(BaseModel):
    """The judge; made from scratch, it is taught to grade up to `window` passages at once."""

    window: int = 10


@dataclass
class Guest:
    """A base agent that talks the protocol in the file `protocol`: see conf/guest/.

    Ready-made, or (`model` null) made from scratch with the sizes and steps of base.agent, taught
    to write its turns as `search` ({thought}, {query}) and `answer` ({thought}, {answer}) say.
    """

    protocol: str = "conf/protocol/tiny.yaml"
    model: str | None = None
    revision: str | None = None
    search: str = "<think> {thought} </think> <search> {query} </search>"
    answer: str = "<think> {thought} </think> <answer> {answer} </answer>"
    doubt: float = 0.0
    wording: Wording = Wording.query
    rollout: OwnRollout = field(default_factory=OwnRollout)


@dataclass
class Base:
    seed: int = 0
    agent: BaseAgent = field(default_factory=BaseAgent)
    judge: BaseJudge = field(default_factory=BaseJudge)


@dataclass
class Encoder:
    """R_0: a ready-made model, or (`model` null) a BERT made from scratch on the passages."""

    model: str | None = None
    revision: str | None = None
    input: str = "query"
    query_prompt: str = ""
    passage_prompt: str = ""
    max_query_tokens: int | None = None  # in search; null: all that the model reads
    layers: int = 2
    width: int = 128
    heads: int = 4
    max_length: int = 96
    steps: int = 500
    batch_size: int = 128
    learning_rate: float = 1e-3
    warmup: float = 0.1
    temperature: float = 0.05
    words: str = ""
    fillers: str = ""
    families: list[str] = field(default_factory=list)


@dataclass
class Baseline:
    """A ready-made retriever to compare with: a sentence-transformers id or folder."""

    model: str = MISSING
    revision: str | None = None
    input: str = "query"
    query_prompt: str = ""
    passage_prompt: str = ""
    max_query_tokens: int | None = None  # in search; null: all that the model reads


@dataclass
class Published:
    """Training pairs that others have published: a description (conf/data/) of their file."""

    source: str = MISSING


@dataclass
class Ivfpq:
    """Inverted lists of product-quantised vectors."""

    lists: int = 8192
    probes: int = 64
    bytes: int = 64


@dataclass
class Hnsw:
    """A graph over 8-bit vectors."""

    links: int = 32
    build_breadth: int = 80
    breadth: int = 256


@dataclass
class Index:
    """`seed`, `sample` and all below them serve approximate kinds only."""

    dtype: str = "float32"
    kind: IndexKind = IndexKind.exact
    seed: int = 0
    sample: int = 400_000
    candidates: int = 200
    recall_queries: int = 500
    ivfpq: Ivfpq = field(default_factory=Ivfpq)
    hnsw: Hnsw = field(default_factory=Hnsw)


@dataclass
class Agent:
    """Reinforcement learning of the agent (Agentic-R, agent training).

    Warm-ups are in steps, also of more steps than there are: the rate then rises to the end. Under
    verl they are whole. `mask_retrieved` off lets retrieved tokens into the loss, to study that.
    """

    trainer: Trainer = Trainer.loop
    steps: int = 40
    questions: int = 16  # a step
    rollouts: int = 8  # a question
    mini_batch: int = 64  # rollouts an update
    micro_batch: int = 32  # rollouts a forward pass; changes results by rounding only
    epochs: int = 1
    policy_learning_rate: float = 2e-4
    policy_warmup_steps: float = 0.0
    value_learning_rate: float = 2e-3
    value_warmup_steps: float = 0.0
    max_gradient_norm: float = 1.0
    adam_epsilon: float = 1e-4  # of the policy's optimizer
    kl: Kl = Kl.low_var_loss
    kl_coefficient: float = 0.001
    entropy_coefficient: float = 0.0
    mask_retrieved: bool = True
    clip: float = 0.2
    value_clip: float = 0.5
    gamma: float = 1.0
    lam: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0  # of the rollouts' sampling
    max_searches: int = 4
    top_k: int = 3
    max_turn_tokens: int | None = None  # null: as in `rollout`, and so the next two
    max_information_tokens: int | None = None
    max_context_tokens: int | None = None
    protocol: Protocol | None = None  # null: the run's


@dataclass
class Trajectories:
    """`questions`: how many training questions are labelled a turn; null: all."""

    questions: int | None = 150
    fresh: bool = True  # questions of its own each turn
    max_dropped: float = 0.05  # share of trajectories


@dataclass
class Candidates:
    top_k: int = 20


@dataclass
class Relevance:
    mode: RelevanceMode = RelevanceMode.listwise
    prompt: str = "stages/prompts/relevance_short.yaml"
    sub_answer_prompt: str = "stages/prompts/sub_answers_short.yaml"
    window: int = 10
    retries: int = 2
    temperature: float = 0.7
    max_reply_tokens: int = 320
    sub_answers: bool = True
    gold_in_sub_answers: bool = False  # tell the judge the gold answers when it is asked for them
    noise: float = 0.0  # share of grades
    max_dropped: float = 0.05  # share of queries


@dataclass
class Correctness:
    """`top` and `whole_levels` are of lazy."""

    mode: CorrectnessMode = CorrectnessMode.lazy
    top: int | None = None
    whole_levels: bool = True
    max_dropped: float = 0.05  # share of rollouts


@dataclass
class Pairs:
    threshold: int = 60
    max_positives: int = 3
    negatives: int = 15


@dataclass
class Retriever:
    """Contrastive training; `processes` is the paper's G: each brings `batch_size` queries."""

    input: str = "question_query"
    dtype: str = "float32"
    steps: int | None = None
    epochs: int = 2
    processes: int = 1
    batch_size: int = 32
    cached_batch: int | None = None
    learning_rate: float = 2e-5
    weight_decay: float = 0.0
    warmup: float = 0.1
    temperature: float = 0.01
    max_length: int | None = None


@dataclass
class Replug:
    """The single-turn baseline; the keys of `retrievers` name what is trained so."""

    retrievers: dict[str, dict] = field(default_factory=dict)
    questions: int = 300
    top_k: int = 20
    temperature: float = 0.05
    likelihood_temperature: float = 0.1
    steps: int = 120
    batch_size: int = 16
    learning_rate: float = 2e-5
    warmup: float = 0.1


@dataclass
class Evaluate:
    bootstrap_samples: int = 1000
    recall_at: list[int] = field(default_factory=lambda: [3, 20])


@dataclass
class Health:
    """Limits of failure signatures (stages/health.py), and whether one that shows ends the run."""

    stop: bool = False
    em_gain: float = 0.0
    searches_rise: float = 0.0
    selection_ratio: float = 0.5
    entropy: float = 0.001
    length_ratio: float = 0.3
    reward_gain: float = 0.0
    uniform_share: float = 0.5


@dataclass
class Report:
    """`cases_per_kind`: questions won, lost and unchanged; `follow`: texts of questions that are
    followed in any case; `traces`: for MLflow, each turn.
    """

    cases_per_kind: int = 1
    follow: list[str] = field(default_factory=list)
    traces: int = 20


@dataclass
class Compute:
    """How it is computed: see conf/compute/default.yaml."""

    device: str = "cpu"
    threads: int = 2
    devices: int = 1
    tensor_parallel: int = 1
    judge_tensor_parallel: int = 1
    nodes: int = 1
    gpu_memory: float = 0.85
    engine: Engine | None = None
    generation_batch: int = 128
    encoding_batch: int = 8
    checkpoint_steps: int = 10
    ray: str | None = None
    workers: int = 1
    judge_url: str | None = None
    retriever_url: str | None = None

    @property
    def all_devices(self) -> int:
        """Accelerators on all nodes together."""
        return self.devices * self.nodes


@dataclass
class Params:
    """`last_turn` follows from `iterations`: dvc.yaml cannot count, and names artifacts by it."""

    seed: int = 0
    iterations: dict[str, Iteration] = field(default_factory=dict)
    last_turn: str | None = None
    compare: dict[str, Pair] = field(default_factory=dict)
    protocol: Protocol = field(default_factory=Protocol)
    generation: Generation = field(default_factory=Generation)
    rollout: Rollout = field(default_factory=Rollout)
    corpus: Corpus = field(default_factory=Corpus)
    questions: Questions = field(default_factory=Questions)
    base: Base = field(default_factory=Base)
    guest: dict[str, Guest] = field(default_factory=dict)
    encoder: Encoder = field(default_factory=Encoder)
    baseline: dict[str, Baseline] = field(default_factory=dict)
    published: dict[str, Published] = field(default_factory=dict)
    index: Index = field(default_factory=Index)
    agent: Agent = field(default_factory=Agent)
    trajectories: Trajectories = field(default_factory=Trajectories)
    candidates: Candidates = field(default_factory=Candidates)
    relevance: Relevance = field(default_factory=Relevance)
    correctness: Correctness = field(default_factory=Correctness)
    pairs: Pairs = field(default_factory=Pairs)
    retriever: Retriever = field(default_factory=Retriever)
    replug: Replug = field(default_factory=Replug)
    evaluate: Evaluate = field(default_factory=Evaluate)
    health: Health = field(default_factory=Health)
    report: Report = field(default_factory=Report)
    compute: Compute = field(default_factory=Compute)

    @property
    def training_protocol(self) -> Protocol:
        """How the agent talks while it is trained."""
        return self.agent.protocol or self.protocol

    @property
    def training_rollout(self) -> Rollout:
        """The limits of rollouts in PPO: `max_searches` turns that may search, then a last one."""
        agent = self.agent
        own = OwnRollout(
            top_k=agent.top_k,
            max_searches=agent.max_searches,
            max_turn_tokens=agent.max_turn_tokens,
            max_information_tokens=agent.max_information_tokens,
            max_context_tokens=agent.max_context_tokens,
        )
        return with_own(replace(self.rollout, max_turns=None), own)

    @property
    def all_retrievers(self) -> list[str]:
        """Names of the run's retrievers: those to compare with, then R_0, R_1, ..."""
        beside = [*self.baseline, *self.replug.retrievers, *self.published]
        return ["bm25", *beside, "0", *self.iterations]


def with_own(block: Rollout, own: OwnRollout) -> Rollout:
    """`block` with the values that `own` has."""
    return replace(block, **{name: value for name, value in vars(own).items() if value is not None})


def load_params(path: str | Path = "params.yaml") -> Params:
    """The checked parameters in `path`. InputError names the file and the key that is wrong."""
    params = read_block(path, Params)
    _check(params, str(path))
    return params


def read_block(path: str | Path, kind: type[Block]) -> Block:
    """The YAML file `path` as the dataclass `kind`. InputError names the file and the key."""
    import yaml
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        text = Path(path).read_text(encoding="utf-8")
        if not isinstance(yaml.safe_load(text), dict):  # of nothing, all would be defaults
            raise InputError(f"{path}: expected an object with keys")
        loaded = OmegaConf.create(text)
        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), loaded))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not valid UTF-8") from None
    except OmegaConfBaseException as error:
        raise InputError(f"{path}: {_first_line(error)}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise invalid_yaml(path, error) from None


def _first_line(error: Exception) -> str:
    key = getattr(error, "full_key", None)
    return f"'{key}': {reason(error)}" if key else reason(error)


def _check(params: Params, path: str) -> None:
    """Rules that types cannot say."""
    _check_turns(params, path)
    _check_names(params, path)
    _check_pairs(params, path)
    _check_guests(params.guest, path)
    for key, value, least in _integers(params):
        if value < least:
            raise InputError(f"{path}: '{key}' must be at least {least}, found {value}")
    _check_retrievers(params, path)
    for key, value in _floats(asdict(params)):
        if not math.isfinite(value):
            raise InputError(f"{path}: '{key}' must be a finite number, found {value}")
        if key.endswith("learning_rate") and not 0 <= value <= FASTEST:
            raise InputError(f"{path}: '{key}' must be from 0 to {FASTEST:g}, found {value:g}")
    for rules in (_rules, _training_rules, _rules_across_blocks):
        for key, rule, holds in rules(params):
            if not holds:
                raise InputError(f"{path}: '{key}' {rule}")


def _floats(tree: dict, prefix: str = "") -> Iterator[tuple[str, float]]:
    """(key, value) of every number that need not be whole."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _floats(value, f"{prefix}{name}.")
        elif isinstance(value, float):
            yield f"{prefix}{name}", value


def _check_turns(params: Params, path: str) -> None:
    for number, (name, turn) in enumerate(params.iterations.items(), 1):
        if name != str(number) or turn.previous != str(number - 1):
            raise InputError(
                f"{path}: 'iterations' must run without a gap: turn {number} must be "
                f'"{number}": {{previous: "{number - 1}"}}, '
                f'found "{name}": {{previous: "{turn.previous}"}}'
            )
    last = list(params.iterations)[-1] if params.iterations else "0"
    if params.last_turn not in (None, last):
        raise InputError(
            f"{path}: 'last_turn' must be {last!r}, the last of 'iterations', found "
            f"{params.last_turn!r}; `make params` composes it"
        )


def _check_names(params: Params, path: str) -> None:
    """Names become those of files and stages."""
    for key in ("compare", "guest", "baseline", "published", "replug.retrievers"):
        for name in attrgetter(key)(params):
            if not PLAIN.fullmatch(name):
                raise InputError(f"{path}: '{key}': {name!r} is not of letters, digits, '_-' only")


def _check_pairs(params: Params, path: str) -> None:
    known = ["0", *params.iterations]
    for name, pair in params.compare.items():
        if name.isdigit():
            raise InputError(f"{path}: 'compare.{name}': that is how a turn's own pair is called")
        if pair.agent not in [*known, "scripted", *params.guest]:
            raise InputError(f"{path}: 'compare.{name}.agent': no turn '{pair.agent}'")
        if pair.retriever not in params.all_retrievers:
            raise InputError(f"{path}: 'compare.{name}.retriever': no turn '{pair.retriever}'")


def _integers(params: Params) -> Iterator[tuple[str, int, int]]:
    """(key, value, the least it may be); what is null or no integer has other rules."""
    for block in COUNTS:
        for name, value in vars(attrgetter(block)(params)).items():
            if type(value) is int:
                yield f"{block}.{name}", value, 1
    for role in ("agent", "judge"):
        block = getattr(params.base, role)
        least = {"steps": 0 if block.model else 1, "easy_steps": 0}
        for name, value in vars(block).items():
            if type(value) is int:
                yield f"base.{role}.{name}", value, least.get(name, 1)
    for name, guest in params.guest.items():
        for key, value in vars(guest.rollout).items():
            if value is not None:
                yield f"guest.{name}.rollout.{key}", value, 1
    for name, baseline in params.baseline.items():
        if baseline.max_query_tokens is not None:
            yield f"baseline.{name}.max_query_tokens", baseline.max_query_tokens, 1
    for key, least in LEAST.items():
        yield key, attrgetter(key)(params), least


def _rules(params: Params) -> Iterator[tuple[str, str, bool]]:
    """(key, what must be true of it, whether it is)."""
    for name in ("encoder", "retriever", "replug"):
        block = getattr(params, name)
        yield f"{name}.temperature", "must be above 0", block.temperature > 0
        share = "is a share of the steps, from 0 to 1"
        yield f"{name}.warmup", share, 0 <= block.warmup < 1
    likelihood = params.replug.likelihood_temperature
    yield "replug.likelihood_temperature", "must be above 0", likelihood > 0
    fits = params.encoder.width % params.encoder.heads == 0
    yield "encoder.width", "must be a multiple of 'encoder.heads'", fits
    read = {"encoder": params.encoder, "retriever": params.retriever}
    read |= {f"baseline.{name}": block for name, block in params.baseline.items()}
    for name, block in read.items():
        fault = input_fault(block.input)
        yield f"{name}.input", fault or "", fault is None
    for name in ("judge_url", "retriever_url"):
        form = "must be an address as http://host:8000"
        yield f"compute.{name}", form, _address(getattr(params.compute, name))
    for name in ("generation", "retriever"):
        dtype = getattr(params, name).dtype
        yield f"{name}.dtype", "must be float32, bfloat16 or float16", dtype in DTYPES
    for role in ("agent", "judge"):
        block = getattr(params.base, role)
        if block.model is None:
            yield f"base.{role}.layers", "must be even", block.layers % 2 == 0
            yield f"base.{role}.width", f"must be a multiple of {HEADS}", block.width % HEADS == 0
    width = params.index.dtype
    yield "index.dtype", "must be float32 or float16", width in ("float32", "float16")
    stands_in = "may stand in for 'generation.engine' in float32 only, where engines give the same"
    exact = not params.compute.engine or params.generation.dtype == "float32"
    yield "compute.engine", f"{stands_in} text; set 'generation.engine'", exact
    yield "compute.gpu_memory", "is a share, above 0, to 1", 0 < params.compute.gpu_memory <= 1
    again = "is on, and PPO needs the tokens that were sampled: set 'agent.protocol' to another"
    trains = bool(params.iterations)
    yield "protocol.retokenise", again, not (trains and params.training_protocol.retokenise)
    sampled = "must be above 0: PPO samples its rollouts"
    yield "agent.temperature", sampled, params.agent.temperature > 0
    judge, mode = params.relevance, params.correctness.mode
    yield "relevance.temperature", "must be at least 0", judge.temperature >= 0
    taught = params.base.judge
    if taught.model is None and judge.mode is not RelevanceMode.off:
        most = "is more than the judge is taught: see 'base.judge.window'"
        yield "relevance.window", most, judge.window <= taught.window
    yield "relevance.noise", "is a share of the grades, from 0 to 1", 0 <= judge.noise <= 1
    for name in ("trajectories", "relevance", "correctness"):
        share = getattr(params, name).max_dropped
        yield f"{name}.max_dropped", "is a share, from 0 to 1", 0 <= share <= 1
    both = judge.mode is RelevanceMode.off and mode is CorrectnessMode.off
    yield "relevance.mode", "and 'correctness.mode' cannot both be off", not both
    yield "pairs.threshold", "is a grade, from 0 to 100", 0 <= params.pairs.threshold <= 100
    followed = all(text.strip() for text in params.report.follow)
    yield "report.follow", "holds an empty text, which every question does", followed
    depths = params.evaluate.recall_at
    yield "evaluate.recall_at", "needs numbers of passages, from 1", min(depths, default=0) >= 1
    asked = params.questions
    made = asked.source != WORLD or None not in (asked.training, asked.test)
    yield "questions.training", "and 'questions.test': a world needs numbers", made
    named = asked.sets is None or len(set(asked.sets)) == len(asked.sets) > 0
    yield "questions.sets", "needs names, each of them once; null: all that there are", named
    free = not set(POOLED) & set(asked.sets or ())
    yield "questions.sets", "cannot call a set 'all' or 'mean': tables call all of them so", free


def _training_rules(params: Params) -> Iterator[tuple[str, str, bool]]:
    """As `_rules`, of what gradients and draws are made with."""
    for key in ("seed", "base.seed", "index.seed"):
        seed = attrgetter(key)(params)
        yield key, f"must be from 0 to {HIGHEST_SEED}, found {seed}", 0 <= seed <= HIGHEST_SEED
    rates = ("agent.policy_learning_rate", "agent.value_learning_rate", "base.agent.learning_rate")
    rates += ("base.judge.learning_rate", "encoder.learning_rate", "retriever.learning_rate")
    for key in (*rates, "replug.learning_rate", "agent.max_gradient_norm", "agent.adam_epsilon"):
        yield key, "must be above 0", attrgetter(key)(params) > 0
    for key in ("agent.clip", "agent.value_clip"):
        yield key, "must be above 0", attrgetter(key)(params) > 0
    for key in ("agent.gamma", "agent.lam"):
        yield key, "must be above 0, to 1", 0 < attrgetter(key)(params) <= 1
    for name in ("kl_coefficient", "entropy_coefficient", "policy_warmup_steps"):
        yield f"agent.{name}", "must be at least 0", getattr(params.agent, name) >= 0
    yield "agent.value_warmup_steps", "must be at least 0", params.agent.value_warmup_steps >= 0
    yield "retriever.weight_decay", "must be at least 0", params.retriever.weight_decay >= 0
    yield "agent.top_p", "is a probability, above 0, to 1", 0 < params.agent.top_p <= 1
    for key in ("base.agent.doubt", "corpus.world.test_share"):
        yield key, "is a share, from 0 to 1", 0 <= attrgetter(key)(params) <= 1
    yield "index.hnsw.links", "must be at least 2", params.index.hnsw.links >= 2


def _rules_across_blocks(params: Params) -> Iterator[tuple[str, str, bool]]:
    """As `_rules`, where two blocks must fit each other: a stage of hours before must not end in
    vain.
    """
    asked, index, encoder = params.questions, params.index, params.encoder
    made = asked.source != WORLD or params.corpus.source == WORLD
    yield "questions.source", f"asks about a world: set 'corpus.source' to {WORLD} too", made
    if index.kind is IndexKind.ivfpq:
        few = f"of {index.sample} is too few to train 'index.ivfpq.lists' ({index.ivfpq.lists})"
        yield "index.sample", few, index.sample >= max(index.ivfpq.lists, CODES)
        if encoder.model is None:
            fits = encoder.width % index.ivfpq.bytes == 0
            yield "index.ivfpq.bytes", f"must divide 'encoder.width' ({encoder.width})", fits
    if encoder.model is None:
        most = f"is more than 'encoder.max_length' ({encoder.max_length}) that R_0 is made for"
        length = params.retriever.max_length
        yield "retriever.max_length", most, (length or 0) <= encoder.max_length
    for key, needed in training_questions(params).items():
        most = f"is more than the training questions ({asked.training}: 'questions.training')"
        yield key, most, needed <= (asked.training or needed)
    if params.iterations:
        drawn, found = params.pairs.negatives, params.candidates.top_k
        few = f"leaves no positive: a query has 'candidates.top_k' ({found}) passages in all"
        yield "pairs.negatives", few, drawn < found


def training_questions(params: Params) -> dict[str, int]:
    """How many training questions there must be, by the key that asks for them."""
    needed = {}
    if params.iterations:
        needed["agent.questions"] = params.agent.questions
        needed["trajectories.questions"] = params.trajectories.questions or 0
    if params.replug.retrievers:
        needed["replug.questions"] = params.replug.questions
    return needed


def _address(url: str | None) -> bool:
    """Whether a server can be asked at `url`; null is one that a stage starts itself."""
    if url is None:
        return True
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port
        return False


def _check_retrievers(params: Params, path: str) -> None:
    taken = {"bm25"}
    named = {"replug.retrievers": params.replug.retrievers, "baseline": params.baseline}
    named["published"] = params.published
    for key, names in named.items():
        for name in names:
            if name.isdigit() or name in taken:
                raise InputError(f"{path}: '{key}': '{name}' is the name of another")
            taken.add(name)


def _check_guests(guests: dict[str, Guest], path: str) -> None:
    for name, guest in guests.items():
        if name.isdigit() or name == "scripted":
            raise InputError(f"{path}: 'guest.{name}': that is the name of another agent")
        if not 0 <= guest.doubt <= 1:
            raise InputError(f"{path}: 'guest.{name}.doubt' is a probability, from 0 to 1")
        for key, places in (("search", ("thought", "query")), ("answer", ("thought", "answer"))):
            for place in places:
                if "{" + place + "}" not in getattr(guest, key):
                    raise InputError(f"{path}: 'guest.{name}.{key}' does not contain {{{place}}}")
