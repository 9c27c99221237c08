"""Which file of conf/ cannot be read, and at what line: Hydra's own errors often do not say."""

from __future__ import annotations

from pathlib import Path

from stages.plumbing.errors import InputError
from stages.plumbing.reasons import reason
from stages.plumbing.yaml_text import invalid_yaml


def unread_file(conf: Path, error: Exception) -> InputError | None:
    """One line that names the file below `conf` from which `error` came; None if it was none."""
    for file in sorted(conf.rglob("*.yaml")):
        found = _fault(file.resolve())  # as Hydra opens it, so that both errors say the same
        if found and type(found) is type(error) and _same(found, error):
            return _one_line(file, str(file.relative_to(conf.parent)), found)
    return None


def _fault(file: Path) -> Exception | None:
    """Why OmegaConf, by which Hydra reads, cannot read `file`."""
    from omegaconf import OmegaConf

    try:
        OmegaConf.load(file)
    except Exception as error:  # of whatever kind the parser or a constructor raises
        return error
    return None


def _same(one: Exception, other: Exception) -> bool:
    return isinstance(one, RecursionError) or str(one) == str(other)


def _one_line(file: Path, name: str, error: Exception) -> InputError:
    from omegaconf.errors import OmegaConfBaseException
    from yaml.reader import ReaderError

    if isinstance(error, UnicodeDecodeError):
        read = file.read_bytes().decode("utf-8", errors="replace").split("\ufffd")[0]
        return InputError(f"{name}:{_lines(read)}: not valid UTF-8")
    if isinstance(error, ReaderError):  # of a character, which has a place and no line
        read = file.read_text(encoding="utf-8")[: error.position]
        return InputError(f"{name}:{_lines(read)}: not valid YAML ({reason(error)})")
    if isinstance(error, OmegaConfBaseException):
        key = f"'{error.full_key}': " if error.full_key else ""
        return InputError(f"{name}: {key}{reason(error)}")
    if isinstance(error, RecursionError):
        return InputError(f"{name}: nested too deeply")
    return invalid_yaml(name, error)


def _lines(read: str) -> int:
    """The line at which `read` ends, from 1."""
    return read.count("\n") + 1
