"""The retriever's input: a template over {question}, {thought}, {history} and {query}."""

from __future__ import annotations

import re
from dataclasses import dataclass

from stages.common.search import SearchRequest

SEPARATOR = " [SEP] "
_FIELD = re.compile(r"\{(\w*)\}")


@dataclass(frozen=True)
class Form:
    """A template and how its fields are written.

    `empty` None: earlier queries are joined by the separator, and a part between separators all of
    whose fields are empty is left out with its separator. Else `empty` stands for an empty field.
    `labelled`: a field's text is put on one line, so that no text can pretend to be a label, and
    earlier queries stand a line each, numbered from the oldest.
    """

    template: str
    empty: str | None = None
    labelled: bool = False


# ITER (arXiv 2608.27912): fields one a line, the current query before the history.
_QUESTION, _THOUGHT = "Main Question: {question}", "Current Reasoning: {thought}"
_QUERY, _HISTORY = "Current Subquery: {query}", "Previous Interactions:{history}"


def _lines(*fields: str) -> Form:
    return Form("\n".join(fields), "<empty>", labelled=True)


FORMS = {
    "query": Form("{query}"),
    "question_query": Form("{question} [SEP] {query}"),
    "question_history_query": Form("{question} [SEP] {history} [SEP] {query}"),
    "thought_query": Form("{thought} [SEP] {query}"),
    "question_thought_query": Form("{question} [SEP] {thought} [SEP] {query}"),
    "labelled_thought_query": _lines(_THOUGHT, _QUERY),
    "labelled_question_thought_query": _lines(_QUESTION, _THOUGHT, _QUERY),
    "labelled_question_history_query": _lines(_QUESTION, _QUERY, _HISTORY),
    "labelled_question_thought_history_query": _lines(_QUESTION, _THOUGHT, _QUERY, _HISTORY),
    # AgentIR (arXiv 2603.04384): the thought as it stands.
    "agentir_thought_query": Form("Reasoning: {thought}\n\nQuery: {query}", "Empty"),
}


@dataclass(frozen=True)
class QueryFormat:
    """How a retriever is asked: which texts make its query, and the prompts before texts.

    `input` is a name of FORMS or a template of its own (params.input_fault). `pooling`
    (params.POOLINGS) says how vectors of tokens become one where the model's files do not.
    """

    input: str = "query"
    query_prompt: str = ""
    passage_prompt: str = ""
    max_query_tokens: int | None = None  # in search, prompt and special tokens counted; null: all
    pooling: str | None = None

    @property
    def form(self) -> Form:
        """The form that `input` names, or of the template that it is."""
        return FORMS.get(self.input, Form(self.input))

    def reads(self, field: str) -> bool:
        """Whether the template has a place for `field`."""
        return field in _FIELD.findall(self.form.template)

    def text(self, request: SearchRequest) -> str:
        """What the retriever reads, without the prompt; a ready text (no question) as it stands.

        >>> QueryFormat("question_query").text(SearchRequest("Who?", ("first",), "second"))
        'Who? [SEP] second'
        >>> QueryFormat("{thought} [SEP] {query}").text(SearchRequest("Who?", (), "second"))
        'second'
        >>> QueryFormat("labelled_thought_query").text(SearchRequest("Who?", (), "second"))
        'Current Reasoning: <empty>\\nCurrent Subquery: second'
        """
        if request.question is None:
            return request.query
        form = self.form
        values = _values(request, form)
        parts = []
        for part in form.template.split(SEPARATOR):
            names = _FIELD.findall(part)
            if not names or any(values[name] for name in names):
                parts.append(_FIELD.sub(lambda match: values[match[1]], part))
        return SEPARATOR.join(parts)


def _values(request: SearchRequest, form: Form) -> dict[str, str]:
    """What stands for each field of the template."""
    values = {"question": request.question, "thought": request.thought, "query": request.query}
    if form.labelled:
        values = {name: " ".join(text.split()) for name, text in values.items()}
    if form.empty is not None:
        values = {name: text or form.empty for name, text in values.items()}
    return values | {"history": _history(request.history, form)}


def _history(queries: tuple[str, ...], form: Form) -> str:
    if not form.labelled:
        return SEPARATOR.join(queries)
    lines = [f"\nPrevious SubQuery {k}: {' '.join(q.split())}" for k, q in enumerate(queries, 1)]
    return "".join(lines) or f" {form.empty}"
