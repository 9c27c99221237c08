"""Stage published@NAME: training pairs that others have published, in place of our own labels.

In: the description `published.NAME.source` (a file of the hub at a pinned revision, or a local
one), the corpus. Out: instances as the stage pairs writes them, for a retriever NAME that is
trained from R_0 without an agent, a judge or a rollout. Rows that name a passage which the corpus
lacks are dropped and counted; where all do, it is another corpus.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.params import load_params
from stages.plumbing.errors import InputError, run
from stages.plumbing.named import named_block


def main(argv: list[str] | None = None) -> None:
    """Read the published pairs."""
    arguments = _arguments(argv)
    params = load_params()
    source = named_block(params.published, "published", arguments.name).source

    from stages.common.records import write_json, write_jsonl
    from stages.sources.description import local_path, pair_file
    from stages.sources.published import find_texts, published_instances, read_published

    rows = read_published(local_path(pair_file(source)))
    passages = find_texts(arguments.passages, rows)
    whole = sum(all(one in passages for one in row["passage_ids"]) for row in rows)
    if not whole:
        raise InputError(
            f"{source}: {arguments.passages} lacks a passage of each of its {len(rows)} rows, such "
            f"as '{rows[0]['passage_ids'][0]}': the pairs belong to another corpus"
        )
    write_jsonl(arguments.output, published_instances(rows, passages))
    dropped = {"passage_not_in_corpus": len(rows) - whole}
    write_json(arguments.metrics, {"in": len(rows), "out": whole, "dropped": dropped})


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True, help="the retriever's name in params.yaml")
    parser.add_argument("--passages", type=Path, required=True, help="the corpus")
    parser.add_argument("--output", type=Path, required=True, help="training instances, JSON Lines")
    parser.add_argument("--metrics", type=Path, required=True, help="counts, JSON")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run(main)
