"""Errors of the Hugging Face hub as one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from stages.plumbing.addresses import shown
from stages.plumbing.errors import InputError, is_full
from stages.plumbing.reasons import reason


@contextmanager
def reaching_hub(name: str, not_an_id: str) -> Iterator[None]:
    """A download of `name`: InputError where it is not here and the hub does not give it.

    `not_an_id` is said of an id that no hub could have.
    """
    try:
        from huggingface_hub.utils import logging

        level = logging.get_verbosity()
        logging.set_verbosity_error()  # or it warns of each attempt
        try:
            yield
        finally:
            logging.set_verbosity(level)
    except InputError:
        raise
    except Exception as error:  # of the hub, the network, or whatever answered in the hub's place
        if is_full(error):
            raise
        if type(error).__name__ == "HFValidationError":
            raise InputError(f"{name}: {not_an_id}") from None
        raise InputError(
            f"{name}: not on this machine, and the hub failed ({shown(reason(error))}): start "
            "again where there is a network, or name a local folder or file"
        ) from None
