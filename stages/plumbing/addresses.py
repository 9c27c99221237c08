"""Server addresses for messages and logs, without the user name and password they may hold."""

from __future__ import annotations

import re

USER = re.compile(r"(?<=://)[^/?#\s]*@")


def shown(text: str) -> str:
    """`text` with every address in it free of its user and password.

    >>> shown("http://me:secret@host:8000/v1: no answer")
    'http://host:8000/v1: no answer'
    """
    return USER.sub("", text)
