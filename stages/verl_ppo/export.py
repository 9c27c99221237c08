"""verl's checkpoint as a plain transformers folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from stages.common.models import save_tokenizer
from stages.common.records import read_json, write_text
from stages.engines.tokenizer import load_tokenizer
from stages.plumbing.errors import InputError
from stages.plumbing.finite import NotFinite, broken_weights, saved_weights
from stages.plumbing.folders import as_umask


def export(checkpoint: Path, base: Path, folder: Path) -> None:
    """Merge the policy's shards in `checkpoint` into `folder`, with the tokenizer of `base`.

    The weights are safetensors in bfloat16, as verl's merger writes them. InputError if it fails,
    or if a weight is not finite.
    """
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "verl.model_merger", "merge", "--backend", "fsdp"]
    command += ["--local_dir", str(checkpoint / "actor"), "--target_dir", str(folder)]
    code = subprocess.run(command, stdout=sys.stderr).returncode
    if code:
        raise InputError(f"{checkpoint}: verl's merger failed (exit code {code}), see above")
    problem = broken_weights(saved_weights(folder))
    if problem is not None:
        raise NotFinite(f"{checkpoint}: {problem}; lower 'agent.policy_learning_rate'")
    save_tokenizer(load_tokenizer(base), folder)
    # Which attention verl trained with is nothing that a reader of the model must do.
    about = read_json(folder / "config.json", foreign=True)
    about.pop("attn_implementation", None)
    write_text(folder / "config.json", json.dumps(about, ensure_ascii=False, indent=2) + "\n")
    as_umask(folder)
