"""Score answers: exact match (EM) and F1."""

from stages.scoring.answers import exact_match, f1_score

__all__ = ["exact_match", "f1_score"]
