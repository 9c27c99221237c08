"""A retriever's folder: a sentence-transformers model that also says how to ask it.

`retriever.json` holds what the retriever reads (`input`) and its prompts. R_0 reads the query
alone; a trained R_k reads `question [SEP] query`, in training and in search alike (Agentic-R,
section 3.3). Reading earlier queries too is the paper's history ablation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from stages.common.records import read_json, write_json, write_text
from stages.plumbing.errors import InputError

DESCRIPTION = "retriever.json"
SEPARATOR = " [SEP] "
OPTIONAL = {"max_query_tokens"}
INPUTS = ("query", "question_query", "question_history_query")


@dataclass(frozen=True)
class Asking:
    """How a retriever is asked: which texts make its query, and the prompts before texts."""

    input: str = "query"
    query_prompt: str = ""
    passage_prompt: str = ""
    max_query_tokens: int | None = None  # in search, prompt and special tokens counted; null: all

    def text(self, question: str, history: Sequence[str], query: str) -> str:
        """What the retriever reads for `query`, without the prompt.

        >>> Asking("question_query").text("Who?", ["first"], "second")
        'Who? [SEP] second'
        """
        parts = {
            "query": [query],
            "question_query": [question, query],
            "question_history_query": [question, *history, query],
        }
        return SEPARATOR.join(parts[self.input])


def read_asking(folder: str | Path) -> Asking:
    """The folder's `retriever.json`. InputError if it is missing or says something unknown."""
    path = Path(folder) / DESCRIPTION
    row = read_json(path)
    keys = set(asdict(Asking()))
    if not isinstance(row, dict) or not keys - OPTIONAL <= set(row) <= keys:
        raise InputError(f"{path}: expected an object with the keys {', '.join(sorted(keys))}")
    if row["input"] not in INPUTS:
        raise InputError(f"{path}: 'input' must be one of {', '.join(INPUTS)}")
    most = row.get("max_query_tokens")
    if most is not None and (type(most) is not int or most < 1):
        raise InputError(f"{path}: 'max_query_tokens' must be at least 1 or null, found {most!r}")
    return Asking(**row)


def write_asking(folder: str | Path, asking: Asking) -> None:
    """Write the folder's `retriever.json`."""
    row = {key: value for key, value in asdict(asking).items() if value is not None}
    write_json(Path(folder) / DESCRIPTION, row)


def save(model, folder: str | Path, asking: Asking) -> None:
    """Save a SentenceTransformer whole: weights, prompts, how to ask it, and a model card.

    Two equal models give equal bytes: the card holds no date, path or training log.
    """
    model.prompts = {"query": asking.query_prompt, "document": asking.passage_prompt}
    model.save(str(folder), create_model_card=False, safe_serialization=True)
    write_asking(folder, asking)
    write_text(Path(folder) / "README.md", _card(asking))


def _card(asking: Asking) -> str:
    query = asking.text("{question}", ["{earlier queries}"], "{query}")
    return f"""---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
---
# Retriever of a search agent
Cosine similarity of mean-pooled vectors. A query is read as `{query}`.

```python
from sentence_transformers import SentenceTransformer
retriever = SentenceTransformer("path/of/this/folder")
scores = retriever.encode_query(["{query}"]) @ retriever.encode_document(["{{passage}}"]).T
```
The prompts, `{asking.query_prompt}` and `{asking.passage_prompt}`, are added by these two methods.
"""
