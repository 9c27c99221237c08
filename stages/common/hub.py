"""What can go wrong with the hub, as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stages.plumbing.errors import InputError
from stages.plumbing.reasons import reason


@contextmanager
def reaching_hub(name: str, not_an_id: str) -> Iterator[None]:
    """A download of `name`: InputError where it is not here and the hub does not give it.

    `not_an_id` is said of an id that no hub could have.
    """
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        yield
    except HFValidationError:
        raise InputError(f"{name}: {not_an_id}") from None
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        why = f"{name}: not on this machine, and the hub failed ({reason(error)})"
        raise InputError(why) from None
