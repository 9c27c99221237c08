"""What clients send, in Search-R1's form and in FlashRAG's, and the form of their answers.

Numbers and booleans are taken as pydantic takes them where it is not strict, which is how the
public servers do: "3" and 3.0 are 3, 1 and "true" are true. A count of 0 means the server's own.
Fields of other names are ignored.
"""

from __future__ import annotations

import json
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from stages.common.search import SearchRequest, requests_of
from stages.serving.limits import HISTORY, PASSAGES, QUERIES, TEXT, TOP_K
from stages.serving.refusals import Refused

Hits = list[tuple[dict, float]]  # documents with their scores, best first
LimitedText = Annotated[str, Field(max_length=TEXT)]
Texts = Annotated[list[LimitedText], Field(max_length=QUERIES, fail_fast=True)]
QuestionTexts = Annotated[list[LimitedText | None], Field(max_length=QUERIES, fail_fast=True)]
History = Annotated[list[LimitedText], Field(max_length=HISTORY, fail_fast=True)]
Histories = Annotated[list[History], Field(max_length=QUERIES, fail_fast=True)]
Count = Annotated[int, Field(ge=0, le=TOP_K)]

MOST = f"queries times passages a query may be {PASSAGES} at most"
OWN = "passages a query; 0 or null: the server's own number"


class RequestBody(BaseModel):
    """What all forms of a request have in common."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def _within_limits(self, info: ValidationInfo) -> RequestBody:
        requests = self.requests()
        if len(requests) * (self.count() or info.context["topk"]) > PASSAGES:
            raise ValueError(MOST)
        for request in requests:
            texts = (request.question or "", request.query, request.thought, *request.history)
            if sum(map(len, texts)) > TEXT:
                raise ValueError(f"a query, with what goes with it, has over {TEXT} characters")
        return self

    def requests(self) -> list[SearchRequest]:
        """The queries with what goes with them."""
        raise NotImplementedError

    def count(self) -> int | None:
        """How many passages a query; 0 or None: the server's own number."""
        raise NotImplementedError

    def answer(self, found: list[Hits]) -> object:
        """The answer's JSON, of what was found for each query."""
        raise NotImplementedError


class Retrieve(RequestBody):
    """Search-R1's request, and two fields more: what goes with each query."""

    queries: Texts = Field(description=f"what the retriever reads; {MOST}")
    topk: Count | None = Field(None, description=OWN)
    return_scores: bool = False
    questions: QuestionTexts | None = Field(
        None, description="one for each query, with which the retriever joins it; null: joined"
    )
    histories: Histories | None = Field(
        None, description="earlier queries, a list for each query; need questions"
    )
    thoughts: QuestionTexts | None = Field(
        None, description="what was thought before each query; need questions"
    )

    @model_validator(mode="after")
    def _one_for_each_query(self) -> Retrieve:
        for name in ("questions", "histories", "thoughts"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.queries):
                raise ValueError(f"{name} must have as many entries as queries")
        for name in ("histories", "thoughts"):
            if getattr(self, name) is not None and self.questions is None:
                raise ValueError(f"{name} need questions")
        return self

    def requests(self) -> list[SearchRequest]:
        return requests_of(self.queries, self.questions, self.histories, self.thoughts)

    def count(self) -> int | None:
        return self.topk

    def answer(self, found: list[Hits]) -> dict:
        if self.return_scores:
            return {"result": [[_scored(*hit) for hit in row] for row in found]}
        return {"result": [_documents(row) for row in found]}


class BatchSearch(RequestBody):
    """The request of FlashRAG's remote retriever for many queries."""

    query: Texts = Field(description=f"what the retriever reads; {MOST}")
    top_n: Count | None = Field(None, description=OWN)
    return_score: bool = False

    def requests(self) -> list[SearchRequest]:
        return requests_of(self.query)

    def count(self) -> int | None:
        return self.top_n

    def answer(self, found: list[Hits]) -> list:
        documents = [_documents(row) for row in found]
        return [documents, [_scores(row) for row in found]] if self.return_score else documents


class Search(RequestBody):
    """The request of FlashRAG's remote retriever for one query."""

    query: LimitedText = Field(description="what the retriever reads")
    top_n: Count | None = Field(None, description=OWN)
    return_score: bool = False

    def requests(self) -> list[SearchRequest]:
        return requests_of([self.query])

    def count(self) -> int | None:
        return self.top_n

    def answer(self, found: list[Hits]) -> list:
        [row] = found
        return [_documents(row), _scores(row)] if self.return_score else _documents(row)


def parsed(kind: type[RequestBody], body: bytes | bytearray, top_k: int) -> RequestBody:
    """The request in `body`; one that asks no count gets `top_k`. Refused says what is wrong."""
    try:
        return kind.model_validate_json(_utf8(body), context={"topk": top_k})
    except UnicodeDecodeError as error:
        raise Refused(400, f"the body is not valid {error.encoding}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        status = 400 if first["type"] == "json_invalid" else 422
        raise Refused(status, f"{where}: {first['msg']}" if where else first["msg"]) from None


def _utf8(body: bytes | bytearray) -> bytes | bytearray:
    """The body in UTF-8 without a mark; the public servers take what Python's json does."""
    coding = json.detect_encoding(body)
    return body if coding == "utf-8" else body.decode(coding).encode()


def _scored(document: dict, score: float) -> dict:
    return {"document": document, "score": score}


def _documents(row: Hits) -> list[dict]:
    return [document for document, _ in row]


def _scores(row: Hits) -> list[float]:
    return [score for _, score in row]
