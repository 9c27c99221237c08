"""Write the model card of a trained retriever from dvc.lock, metrics and git.

Nothing in it is typed by hand, and nothing depends on when or where it is written, so the same run
gives the same card.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath

from stages.common.evaluations import Evaluation, SetResult
from stages.common.records import read_json
from stages.common.search import SearchRequest
from stages.encoders.folder import read_format
from stages.encoders.pooling import written_pooling
from stages.metrics.lock import QUESTIONS
from stages.metrics.reading import read
from stages.plumbing.errors import InputError
from stages.provenance.hashes import check_hash
from stages.provenance.lineage import LockedStage, lineage, read_lock
from stages.provenance.origin import packages
from stages.provenance.since import commit, since
from stages.reporting.results import PairResult

TEMPLATE = "card.md.j2"
RETRIEVERS = "models/retriever"
WORLD = "stages/world"  # the source of a made-up corpus
COUNTED = ("trajectories", "candidates", "relevance", "correctness", "pairs", "retriever")


@dataclass(frozen=True)
class Sources:
    """What a card is written from: iteration k, the stages that made R_k, all of the lock."""

    iteration: str
    path: str
    made_by: dict[str, LockedStage]
    lock: list[LockedStage]

    @classmethod
    def read(cls, path: str) -> Sources:
        """InputError unless `path` is the folder of a trained retriever that dvc.lock knows."""
        path = PurePath(path).as_posix()
        steps = {step.stage: step for step in lineage(path)}
        *_, last = steps.values()
        iteration = last.stage.removeprefix("retriever@")
        if last.stage == iteration or path not in last.outputs or not path.startswith(RETRIEVERS):
            raise InputError(f"{path}: is no trained retriever, as {RETRIEVERS}/1 is")
        check_hash(path, last.outputs[path])
        _check_chain(path, steps)
        return cls(iteration, path, steps, read_lock("dvc.lock"))

    def params(self, stage: str) -> dict:
        """A stage's locked parameters."""
        step = self.made_by.get(f"{stage}@{self.iteration}") or self.made_by[stage]
        return step.params

    def metrics(self, stage: str) -> dict:
        """Of this iteration."""
        return self._metrics(self.made_by[f"{stage}@{self.iteration}"])

    def pairs(self) -> list[PairResult]:
        """The evaluated pairs that use R_k, then others to compare: their agents with another
        retriever, and any agent with R_0. All were asked the questions that R_k's own iteration
        was: a lock keeps stages of former runs too."""
        found = []
        own = next((s for s in self.lock if s.stage == f"evaluate@{self.iteration}"), None)
        for step in self.lock if own else ():
            asked = step.inputs.get(QUESTIONS) == own.inputs.get(QUESTIONS)
            if asked and any(path.startswith("metrics/evaluate/") for path in step.outputs):
                measured = Evaluation.of(self._metrics(step))
                found.append(PairResult(**vars(measured), name=step.stage))
        agents = {pair.agent for pair in found if pair.retriever == self.iteration}
        shown = [p for p in found if p.agent in agents or p.retriever in ("0", self.iteration)]
        return sorted(shown, key=lambda p: (p.retriever != self.iteration, p.agent, p.retriever))

    def _metrics(self, step: LockedStage) -> dict:
        """A stage's figures, which must be those that dvc.lock speaks of."""
        path = next(p for p in step.outputs if p.startswith("metrics/") and p.endswith(".json"))
        check_hash(path, step.outputs[path])
        return read(path)


def _check_chain(path: str, steps: dict[str, LockedStage]) -> None:
    """InputError where a stage behind `path` read another file than the stage before it has made:
    then what the lock says of that file is not what `path` came from."""
    for step in steps.values():
        for maker in steps.values():
            for name in maker.outputs.keys() & step.inputs.keys():
                if maker.outputs[name] != step.inputs[name]:
                    raise InputError(
                        f"{path}: {step.stage} read another {name} than {maker.stage} has made, so "
                        "nobody knows what it was trained on; `dvc repro` makes it anew"
                    )


def render_card(sources: Sources) -> str:
    """The card: Markdown below the hub's YAML front matter."""
    import yaml
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"name": shown_name, "cell": with_interval}
    query_format = read_format(sources.path)
    about = commit(sources.made_by.values())
    front = yaml.safe_dump(front_matter(sources), sort_keys=False, allow_unicode=True)
    stages = (*COUNTED, "encoder", "base", "corpus", "questions")
    return environment.get_template(TEMPLATE).render(
        front=front.rstrip(),
        iteration=sources.iteration,
        previous=str(int(sources.iteration) - 1),
        query_format=query_format,
        reads=query_format.text(
            SearchRequest("{question}", ("{earlier queries}",), "{query}", "{thought}")
        ),
        example=query_format.text(
            SearchRequest(
                "Where was the director born?", ("who directed it",), "director of it", "find it"
            )
        ),
        pooling=written_pooling(sources.path),
        dimension=read_json(Path(sources.path) / "config.json", foreign=True).get("hidden_size"),
        set={name: sources.params(name) for name in stages},
        seen={name: sources.metrics(name) for name in COUNTED},
        pairs=sources.pairs(),
        commit=about,
        since=since(about),
        packages=packages(),
        steps=sources.made_by.values(),
        digest=sources.made_by[f"retriever@{sources.iteration}"].outputs[sources.path],
        world=WORLD,
    )


def front_matter(sources: Sources) -> dict:
    """What the hub reads of a card."""
    matter = {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "tags": ["sentence-transformers", "feature-extraction", "agentic-search"],
    }
    base = sources.params("encoder")["encoder"]["model"]
    if base and not Path(base).is_dir() and not Path(base).is_absolute():
        matter["base_model"] = base
    return matter


def shown_name(model: str | None) -> str:
    """A model's or a file's name without the folders of a machine."""
    if not model:
        return "made from scratch by this pipeline"
    return f"`{PurePath(model).name if Path(model).is_absolute() else model}`"


def with_interval(part: SetResult, key: str, scale: float, digits: int) -> str:
    """`92.5 (88.5 to 95.5)`: a figure and its interval."""
    metrics = (getattr(part, key), *part.ends(key))
    value, low, high = (f"{scale * figure:.{digits}f}" for figure in metrics)
    return f"{value} ({low} to {high})"
