"""verl's checkpoint as a plain transformers folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from stages.common.records import read_json, write_json
from stages.engines.tokenizer import load_tokenizer
from stages.plumbing.errors import InputError


def export(checkpoint: Path, base: Path, folder: Path) -> None:
    """Merge the policy's shards in `checkpoint` into `folder`, with the tokenizer of `base`.

    The weights are safetensors in bfloat16, as verl's merger writes them. InputError if it fails.
    """
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "verl.model_merger", "merge", "--backend", "fsdp"]
    command += ["--local_dir", str(checkpoint / "actor"), "--target_dir", str(folder)]
    code = subprocess.run(command, stdout=sys.stderr).returncode
    if code:
        raise InputError(f"{checkpoint}: verl's merger failed (exit code {code}), see above")
    load_tokenizer(base).save_pretrained(folder)
    # Which attention verl trained with is nothing that a reader of the model must do.
    about = read_json(folder / "config.json")
    about.pop("attn_implementation", None)
    write_json(folder / "config.json", about)
