"""The one kind of error that a user can cause, and how a stage reports it."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable

from stages.plumbing.usage import Usage

DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class InputError(Exception):
    """Something the user gave is wrong: names the file, line or key, and what to do."""


def run(main: Callable[[], int | None]) -> None:
    """Run a command's `main`; an InputError or a full disk becomes one line and exit code 2."""
    try:
        with Usage():
            code = main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:
        raise SystemExit(141) from None
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        print(
            f"error: {error.filename or 'the disk'}: {error.strerror}; what is finished is kept, "
            "and the stage goes on from there when it is started again",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    raise SystemExit(code or 0)
