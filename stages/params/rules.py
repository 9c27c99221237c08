"""Rules for the value of one parameter, or for a few of one block."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from stages.params.choices import DTYPES, POOLINGS, Engine, RelevanceMode
from stages.params.compute import Compute
from stages.params.data import HOPS, MOST_HOPS, WORLD
from stages.params.inputs import input_fault
from stages.params.models import HEADS
from stages.params.reporting import POOLED
from stages.params.run import Params


def rules(params: Params) -> Iterator[tuple[str, str, bool]]:
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
    ready = {name: block for name, block in read.items() if name != "retriever"}
    for name, block in ready.items():
        one = f"must be {', '.join(POOLINGS)}, or null where the model's files say it"
        yield f"{name}.pooling", one, block.pooling in (None, *POOLINGS)
    mean = params.encoder.model is not None or params.encoder.pooling in (None, "mean")
    yield "encoder.pooling", "must be mean or null: R_0 is made from scratch", mean
    form = "must be an address as http://host:8000"
    yield "compute.judge_url", form, _address(params.compute.judge_url)
    yield "compute.retriever_url", f"{form}, or a list of such", _addresses(params.compute)
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
    invariant = not params.generation.batch_invariant or params.generation.engine is Engine.vllm
    yield "generation.batch_invariant", "is vLLM's: set 'generation.engine' to it", invariant
    yield "compute.gpu_memory", "is a share, above 0, to 1", 0 < params.compute.gpu_memory <= 1
    again = "is on, and PPO needs the tokens that were sampled: set 'agent.protocol' to another"
    anew = (params.agent.protocol or params.protocol).retokenise
    yield "protocol.retokenise", again, not (params.iterations and anew)
    sampled = "must be above 0: PPO samples its rollouts"
    yield "agent.temperature", sampled, params.agent.temperature > 0
    judge = params.relevance
    yield "relevance.temperature", "must be at least 0", judge.temperature >= 0
    taught = params.base.judge
    if taught.model is None and judge.mode is not RelevanceMode.off:
        most = "is more than the judge is taught: see 'base.judge.window'"
        yield "relevance.window", most, judge.window <= taught.window
    yield "relevance.noise", "is a share of the grades, from 0 to 1", 0 <= judge.noise <= 1
    for name in ("trajectories", "visits", "relevance", "correctness"):
        share = getattr(params, name).max_dropped
        yield f"{name}.max_dropped", "is a share, from 0 to 1", 0 <= share <= 1
    for name in ("miss", "false"):
        share = getattr(params.visits, name)
        yield f"visits.{name}", "is a share, from 0 to 1", 0 <= share <= 1
    yield "pairs.threshold", "is a grade, from 0 to 100", 0 <= params.pairs.threshold <= 100
    followed = all(text.strip() for text in params.report.follow)
    yield "report.follow", "holds an empty text, which every question does", followed
    depths = params.evaluate.recall_at
    yield "evaluate.recall_at", "needs numbers of passages, from 1", min(depths, default=0) >= 1
    yield "evaluate.recall_at", "needs each number once", len(set(depths)) == len(depths)
    asked = params.questions
    made = asked.source != WORLD or None not in (asked.training, asked.test)
    yield "questions.training", "and 'questions.test': a world needs numbers", made
    several = f"must be from 1 to {MOST_HOPS}"
    yield "questions.hops", several, 1 <= asked.hops <= MOST_HOPS
    reach = f"must be from {HOPS} to {MOST_HOPS}"
    yield "base.hops", reach, HOPS <= params.base.hops <= MOST_HOPS
    named = asked.sets is None or len(set(asked.sets)) == len(asked.sets) > 0
    yield "questions.sets", "needs names, each of them once; null: all that there are", named
    free = not set(POOLED) & set(asked.sets or ())
    yield "questions.sets", "cannot call a set 'all' or 'mean': tables call all of them so", free


def _addresses(compute: Compute) -> bool:
    given = compute.retriever_url
    if given is None:
        return True
    urls = given if isinstance(given, list) else [given]
    once = len(set(map(str, urls))) == len(urls) > 0
    return once and all(isinstance(url, str) and _address(url) for url in urls)


def _address(url: str | None) -> bool:
    """Whether a server can be asked at `url`; null is one that a stage starts itself."""
    if url is None:
        return True
    try:
        parts = urlsplit(url)
        if any(sign.isspace() for sign in url):  # some of which urlsplit leaves out
            return False
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # of the port
        return False
