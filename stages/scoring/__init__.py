"""Score answers: exact match (EM), F1, and bootstrap intervals."""

from stages.scoring.answers import exact_match, f1_score
from stages.scoring.bootstrap import bootstrap_interval

__all__ = ["bootstrap_interval", "exact_match", "f1_score"]
