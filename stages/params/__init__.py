"""Typed parameters: `params.yaml` read once, checked whole, used by attribute.

One dataclass a block; a block is named as its stage. An unknown key, a wrong type or a value out
of range is one InputError that names the key. `compute` says how things are computed (device,
batch sizes); it is no dependency of any stage, so changing it never reruns one.

The blocks stand in files by theme; `rules`, `training_rules`, `across`, `names` and `numbers` hold
what types cannot say; `loading` reads and checks. Import all of it from here.
"""

from stages.params.across import check_weights, training_questions
from stages.params.agent import Agent
from stages.params.choices import (
    DTYPES,
    POOLINGS,
    Advantage,
    CorrectnessMode,
    Engine,
    IndexKind,
    Kl,
    PairSource,
    RelevanceMode,
    Trainer,
    VisitSource,
    Wording,
)
from stages.params.compute import GIVEN, Compute
from stages.params.conversation import Generation, OwnRollout, Protocol, Rollout
from stages.params.data import HOPS, MOST_HOPS, WORLD, Corpus, Published, Questions, World
from stages.params.index import CODES, Hnsw, Index, Ivfpq
from stages.params.inputs import INPUT_FIELDS, RETRIEVER_INPUTS, input_fault
from stages.params.labels import (
    Candidates,
    Correctness,
    Pairs,
    Relevance,
    Trajectories,
    Visits,
)
from stages.params.loading import escaped, load_params, read_block
from stages.params.models import HEADS, Base, BaseAgent, BaseJudge, BaseModel, Guest
from stages.params.reporting import POOLED, Evaluate, Health, Report
from stages.params.retrievers import Baseline, Encoder, Replug, Retriever, TierWeights
from stages.params.run import ORACLE, Iteration, Oracle, Pair, Params, oracle_name
from stages.params.training_rules import HIGHEST_SEED

__all__ = [
    "CODES",
    "DTYPES",
    "GIVEN",
    "HEADS",
    "HIGHEST_SEED",
    "HOPS",
    "INPUT_FIELDS",
    "MOST_HOPS",
    "ORACLE",
    "POOLED",
    "POOLINGS",
    "RETRIEVER_INPUTS",
    "WORLD",
    "Advantage",
    "Agent",
    "Base",
    "BaseAgent",
    "BaseJudge",
    "BaseModel",
    "Baseline",
    "Candidates",
    "Compute",
    "Corpus",
    "Correctness",
    "CorrectnessMode",
    "Encoder",
    "Engine",
    "Evaluate",
    "Generation",
    "Guest",
    "Health",
    "Hnsw",
    "Index",
    "IndexKind",
    "Iteration",
    "Ivfpq",
    "Kl",
    "Oracle",
    "OwnRollout",
    "Pair",
    "PairSource",
    "Pairs",
    "Params",
    "Protocol",
    "Published",
    "Questions",
    "Relevance",
    "RelevanceMode",
    "Replug",
    "Report",
    "Retriever",
    "Rollout",
    "TierWeights",
    "Trainer",
    "Trajectories",
    "VisitSource",
    "Visits",
    "Wording",
    "World",
    "check_weights",
    "escaped",
    "input_fault",
    "load_params",
    "oracle_name",
    "read_block",
    "training_questions",
]
