"""The retriever's input: a template over {question}, {thought}, {history} and {query}."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stages.common.search import SearchRequest

SEPARATOR = " [SEP] "
TEMPLATES = {
    "query": "{query}",
    "question_query": "{question} [SEP] {query}",
    "question_history_query": "{question} [SEP] {history} [SEP] {query}",
}
_FIELD = re.compile(r"\{(\w*)\}")


@dataclass(frozen=True)
class QueryFormat:
    """How a retriever is asked: which texts make its query, and the prompts before texts.

    `input` is a name of TEMPLATES or a template of its own (params.input_fault).
    """

    input: str = "query"
    query_prompt: str = ""
    passage_prompt: str = ""
    max_query_tokens: int | None = None  # in search, prompt and special tokens counted; null: all

    @property
    def template(self) -> str:
        """The template that `input` names or is."""
        return TEMPLATES.get(self.input, self.input)

    def reads(self, field: str) -> bool:
        """Whether the template has a place for `field`."""
        return field in _FIELD.findall(self.template)

    def text(self, request: SearchRequest) -> str:
        """What the retriever reads, without the prompt; a ready text (no question) as it stands.

        Earlier queries are joined by the separator; a part between separators all of whose fields
        are empty is left out with its separator.

        >>> QueryFormat("question_query").text(SearchRequest("Who?", ("first",), "second"))
        'Who? [SEP] second'
        >>> QueryFormat("{thought} [SEP] {query}").text(SearchRequest("Who?", (), "second"))
        'second'
        """
        if request.question is None:
            return request.query
        values = {
            "question": request.question,
            "thought": request.thought,
            "history": SEPARATOR.join(request.history),
            "query": request.query,
        }
        parts = []
        for part in self.template.split(SEPARATOR):
            names = _FIELD.findall(part)
            if not names or any(values[name] for name in names):
                parts.append(_FIELD.sub(lambda match: values[match[1]], part))
        return SEPARATOR.join(parts)
