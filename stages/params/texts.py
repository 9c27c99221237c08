"""Rules for texts that name something: files, models, devices."""

from __future__ import annotations

from collections.abc import Iterator

from stages.params.run import Params

DEVICES = ("cpu", "cuda")


def text_rules(params: Params) -> Iterator[tuple[str, str, bool]]:
    """As `rules`, of names of files, models and devices."""
    for key, (value, what) in _named(params).items():
        if value is not None:
            yield key, f"is empty: give {what}", bool(value.strip())
            yield key, "must be one line that can be shown", value.isprintable()
    which = "must be cpu or cuda; which of a machine's are taken, CUDA_VISIBLE_DEVICES says"
    yield "compute.device", which, params.compute.device in DEVICES


def _named(params: Params) -> dict[str, tuple[str | None, str]]:
    """The texts by key, and what each should be."""
    models = {"encoder": params.encoder}
    models |= {f"base.{role}": getattr(params.base, role) for role in ("agent", "judge")}
    models |= {f"baseline.{name}": block for name, block in params.baseline.items()}
    models |= {f"guest.{name}": block for name, block in params.guest.items()}
    named = {f"{key}.model": (block.model, "a hub id or a folder") for key, block in models.items()}
    named |= {
        f"{key}.revision": (block.revision, "a commit, or null") for key, block in models.items()
    }
    paths = {"corpus.source": params.corpus.source, "questions.source": params.questions.source}
    for name in ("prompt", "sub_answer_prompt"):
        paths[f"relevance.{name}"] = getattr(params.relevance, name)
    paths["visits.prompt"] = params.visits.prompt
    paths |= {f"guest.{name}.protocol": block.protocol for name, block in params.guest.items()}
    paths |= {f"published.{name}.source": block.source for name, block in params.published.items()}
    named |= {key: (value, "a file or a folder") for key, value in paths.items()}
    return named | {"compute.ray": (params.compute.ray, "an address, or null")}
