"""What a retriever reads: the name of a template, or a template over the fields of a query."""

from __future__ import annotations

import re

RETRIEVER_INPUTS = (  # named templates: see stages/encoders/query_format.py
    "query",
    "question_query",
    "question_history_query",
    "thought_query",
    "question_thought_query",
    "labelled_thought_query",
    "labelled_question_thought_query",
    "labelled_question_history_query",
    "labelled_question_thought_history_query",
    "agentir_thought_query",
)
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
