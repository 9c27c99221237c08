"""Say of a generated text that its server cut it at the limit."""

from __future__ import annotations


class Cut(list):
    """Token ids of a text that its server says was cut.

    They may be fewer than the limit: a server that returns text alone has its ids made from it.
    """
