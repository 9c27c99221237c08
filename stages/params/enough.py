"""Check that there are enough passages and questions for what the parameters ask.

Checked before a run (stages/composing) where the numbers are known, and by the first
stages: too few of them would end a stage hours later, or drop every query.
"""

from __future__ import annotations

from stages.params import CODES, Index, IndexKind, Params, training_questions
from stages.plumbing.errors import InputError


def check_passages(params: Params, passages: int, where: str) -> None:
    """InputError, opened by `where`, if a corpus of so many `passages` cannot serve `params`."""
    check_lists(params.index, passages, where)
    top_k = params.candidates.top_k
    if params.iterations and passages < top_k:
        raise InputError(
            f"{where}: 'candidates.top_k' ({top_k}) is more than the {passages} passages of the "
            "corpus: every query would be dropped"
        )


def check_lists(index: Index, passages: int, where: str) -> None:
    """InputError, opened by `where`, if the inverted lists of `index` cannot be trained."""
    needed = max(index.ivfpq.lists, CODES)
    if index.kind is IndexKind.ivfpq and passages < needed:
        raise InputError(
            f"{where}: 'index.ivfpq.lists' ({index.ivfpq.lists}) needs {needed} passages to train "
            f"on, the corpus has {passages}: ask for fewer lists, or take 'index.kind' exact"
        )


def check_questions(params: Params, training: int, where: str) -> None:
    """InputError, opened by `where`, if a stage asks for more than so many `training` questions."""
    for key, needed in training_questions(params).items():
        if needed > training:
            raise InputError(
                f"{where}: '{key}' ({needed}) is more than the {training} training questions"
                + (" that there are; null takes all" if key == "trajectories.questions" else "")
            )
