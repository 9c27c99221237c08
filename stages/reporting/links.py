"""Where to look further: MLflow's traces, and the commands that make the figures again.

MLflow's own ids differ from one machine to the next, so traces are found by the tags that
stages/tracking gives them. The addresses are those of `mlflow ui` as it comes.
"""

from __future__ import annotations

import shlex
from urllib.parse import quote

from stages.metrics.fields import hidden
from stages.reporting.results import PairResult

SERVER = "http://127.0.0.1:5000"  # where `mlflow ui` listens
EXPERIMENT = "1"  # the id that a new mlflow.db gives the first experiment made in it
TRACES = f"{SERVER}/#/experiments/{EXPERIMENT}/traces?startTimeLabel=ALL"
RUNS = f"{SERVER}/#/experiments/{EXPERIMENT}/runs?workflowType=machine_learning"


def trace_link(row: dict) -> str:
    """The traces of one question of the evaluation, all iterations, in MLflow's page."""
    tags = {"question_set": row.set, "question_id": row.id}
    # MLflow decodes a tag twice: as a part of the address, then as KEY=VALUE.
    pairs = (f"{quote(name, '')}={quote(value, '')}" for name, value in tags.items())
    return TRACES + "".join(f"&tag={quote(pair, '')}" for pair in pairs)


def ask_command(question: str, before: PairResult, after: PairResult) -> str:
    """The later agent, live, with both pairs' retrievers side by side."""
    options = f"--agent {after.agent} --compare {before.retriever} {after.retriever}"
    # after `--` a question may begin with a dash
    return f"python -m stages.tools.ask {options} -- {shlex.quote(question)}"


def shown_command(question: str, before: PairResult, after: PairResult) -> str:
    """`ask_command` as a page may show it: what no eye can see of the question (characters that
    turn the order of letters about, line breaks) is written as the escapes of bash and zsh."""
    command = ask_command(question, before, after)
    if not hidden(question):
        return command
    return command.removesuffix(shlex.quote(question)) + f"$'{''.join(map(_escaped, question))}'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    return f"\\U{ord(character):08x}" if hidden(character) else character


COMMANDS = (
    ("this run, from params.yaml", "dvc repro"),
    ("this page from the same figures", "dvc repro --single-item --force report"),
    ("the run with another seed", "dvc exp run -S seed=1"),
    ("the ablation without GAC", "dvc exp run -S correctness.mode=off"),
    ("the ablation without LR", "dvc exp run -S relevance.mode=off"),
    ("more test questions: all of the made-up world's", "dvc exp run -S questions.test=280"),
    ("runs side by side", "make compare"),
    ("a study, all variants and seeds", "python -m stages.tools.study"),
    ("MLflow's page", "mlflow ui --backend-store-uri sqlite:///mlflow.db"),
)
