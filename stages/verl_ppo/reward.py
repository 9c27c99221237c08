"""The reward, as verl calls it: exact match of the agent's final answer.

verl hands over the decoded conversation, retrieved passages included and special tokens left out;
the answer is not looked for in it. The agent loop has read it from the agent's own last turn.
"""

from __future__ import annotations

from stages.scoring import exact_match


def compute_score(data_source, solution_str: str, ground_truth: list[str], extra_info: dict) -> int:
    """1 if the answer equals one of the gold answers once both are normalised, else 0."""
    return exact_match(extra_info["answer"], list(ground_truth))
