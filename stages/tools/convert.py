"""Convert a GGUF language model once to a safetensors folder: `python -m stages.tools.convert FILE OUT`.

The weights are dequantised to float32, and the tokenizer and chat template come from the same
file. Needs the package `gguf` (requirements/real.txt).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stages.plumbing import errors


def convert(file: Path, output: Path) -> None:
    """Write the model of GGUF `file` as a transformers folder with safetensors weights."""
    if not file.is_file():
        raise errors.InputError(f"{file}: no such file")
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        model = AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=torch.float32
        )
    except ImportError as error:
        raise errors.InputError(f"{file}: {str(error).strip().splitlines()[0]}") from None
    except (ValueError, OSError) as error:
        raise errors.InputError(f"{file}: not a GGUF model ({error})") from None
    end = model.generation_config.eos_token_id  # the tokenizer's own end token may be lost
    tokenizer.eos_token = tokenizer.pad_token = tokenizer.convert_ids_to_tokens(end)
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="the .gguf file")
    parser.add_argument("output", type=Path, help="folder to write")
    arguments = parser.parse_args(argv)
    convert(arguments.file, arguments.output)


if __name__ == "__main__":
    errors.run(main)
