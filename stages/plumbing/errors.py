"""The kinds of error that a user can cause or mend, and how a stage reports them."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Callable
from typing import NoReturn

from stages.plumbing.reasons import reason
from stages.plumbing.usage import Usage

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NOT_OURS = (errno.EROFS, errno.EACCES, errno.EPERM)
KEPT = "what is finished is kept, and the stage goes on from there when it is started again"
# What writers say that raise no OSError with a number: safetensors and tokenizers, faiss, SQLite;
# numpy and torch, which do not say why.
UNWRITTEN = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|disk is full"
    r"|\d+ requested and \d+ written|PytorchStreamWriter failed writing|inline_container"
    r"|iostream error"
)


class InputError(Exception):
    """Something the user gave is wrong: names the file, line or key, and what to do."""


def is_full(error: Exception) -> bool:
    """Whether `error` is that of a full disk, whichever library wrote."""
    return _full(error) is not None


def of_files(error: Exception) -> str | None:
    """What to say of an error of the disk or of files, on one line; None of any other error.

    That is a full disk, or what the system does not let be opened.
    """
    if (full := _full(error)) is not None:
        return f"{full}; {KEPT}"
    if not isinstance(error, OSError) or error.filename is None:
        return None
    name = error.filename if isinstance(error.filename, str) else repr(error.filename)
    todo = "; a command needs a checkout that it may write to" if error.errno in NOT_OURS else ""
    return f"{name}: {error.strerror}{todo}"


def _full(error: Exception) -> str | None:
    cause: BaseException | None = error
    while cause is not None:  # torch's first error is the context of a second one
        if isinstance(cause, OSError) and cause.errno in DISK_FULL:
            return f"{cause.filename or 'the disk'}: {cause.strerror}"
        if UNWRITTEN.search(str(cause)):
            return f"the disk is full, or takes no more ({reason(cause)})"
        cause = cause.__cause__ or cause.__context__
    return None


def _fail(why: str) -> NoReturn:
    """Exit with one line, below what bars of progress have drawn."""
    if "tqdm" in sys.modules:
        for bar in list(sys.modules["tqdm"].tqdm._instances):
            bar.close()
    print(f"error: {why}", file=sys.stderr)
    raise SystemExit(2) from None


def run(main: Callable[[], int | None]) -> None:
    """Run a command's `main`; an InputError, or one of files, becomes one line and exit code 2."""
    try:
        with Usage():
            code = main()
    except InputError as error:
        _fail(str(error))
    except BrokenPipeError:
        raise SystemExit(141) from None
    except Exception as error:
        if (said := of_files(error)) is None:
            raise
        _fail(said)
    raise SystemExit(code or 0)
