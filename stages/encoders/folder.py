"""A retriever's folder: a sentence-transformers model that also says how to ask it.

`retriever.json` holds what the retriever reads (`input`) and its prompts. R_0 reads the query
alone; a trained R_k reads `question [SEP] query`, in training and in search alike (Agentic-R,
section 3.3). Reading earlier queries too is the paper's history ablation.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

from stages.common.models import loaded_online
from stages.common.records import read_json, write_json, write_text
from stages.common.search import SearchRequest
from stages.encoders.pooling import written_pooling
from stages.encoders.query_format import QueryFormat
from stages.params import POOLINGS, input_fault
from stages.plumbing.errors import InputError
from stages.plumbing.folders import as_umask

DESCRIPTION = "retriever.json"
OPTIONAL = {"max_query_tokens", "pooling"}


def read_format(folder: str | Path) -> QueryFormat:
    """The folder's `retriever.json`. InputError if it is missing or says something unknown."""
    path = Path(folder) / DESCRIPTION
    row = read_json(path)
    keys = set(asdict(QueryFormat()))
    if not isinstance(row, dict) or not keys - OPTIONAL <= set(row) <= keys:
        raise InputError(f"{path}: expected an object with the keys {', '.join(sorted(keys))}")
    most = row.get("max_query_tokens")
    if most is not None and (type(most) is not int or most < 1):
        raise InputError(f"{path}: 'max_query_tokens' must be at least 1 or null, found {most!r}")
    if row.get("pooling") not in (None, *POOLINGS):
        one = ", ".join(POOLINGS)
        raise InputError(f"{path}: 'pooling' must be {one} or null, found {row['pooling']!r}")
    for key in sorted(keys - OPTIONAL):
        if not isinstance(value := row[key], str):
            raise InputError(f"{path}: '{key}' must be a text, found {type(value).__name__}")
    if why := input_fault(row["input"]):
        raise InputError(f"{path}: 'input' {why}")
    return QueryFormat(**row)


def stated_pooling(folder: str | Path) -> str | None:
    """The pooling that the folder's `retriever.json` states, if it has one and that says it."""
    return read_format(folder).pooling if (Path(folder) / DESCRIPTION).exists() else None


def write_format(folder: str | Path, query_format: QueryFormat) -> None:
    """Write the folder's `retriever.json`."""
    row = {key: value for key, value in asdict(query_format).items() if value is not None}
    write_json(Path(folder) / DESCRIPTION, row)


def save_retriever(model, folder: str | Path, query_format: QueryFormat) -> None:
    """Save a SentenceTransformer whole: weights, prompts, how to ask it, and a model card.

    Two equal models give equal bytes: the card holds no date, path or training log.
    """
    model.prompts = {"query": query_format.query_prompt, "document": query_format.passage_prompt}
    loaded_online(model.tokenizer)
    model.save(str(folder), create_model_card=False, safe_serialization=True)
    write_format(folder, replace(query_format, pooling=None))  # modules.json has it now
    write_text(Path(folder) / "README.md", _card(query_format, written_pooling(folder)))
    as_umask(folder)


def _card(query_format: QueryFormat, pooling: str | None) -> str:
    places = SearchRequest("{question}", ("{earlier queries}",), "{query}", "{thought}")
    query = query_format.text(places)
    prompts = query_format.query_prompt, query_format.passage_prompt
    return f"""---
library_name: sentence-transformers
pipeline_tag: sentence-similarity
---
# Retriever of a search agent
Cosine similarity of {f"{pooling}-pooled " if pooling else ""}vectors. A query is read as `{query}`.

```python
from sentence_transformers import SentenceTransformer
retriever = SentenceTransformer("path/of/this/folder")
scores = retriever.encode_query(["{query}"]) @ retriever.encode_document(["{{passage}}"]).T
```
The prompts, `{prompts[0]}` and `{prompts[1]}`, are added by these two methods.
"""
