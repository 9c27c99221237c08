"""Refuse requests from web pages: the server has no password and is for programs.

A page can reach a server on the reader's own machine, by a request from another origin or by a name
that it makes point there (DNS rebinding). Both say so in their headers: `Origin` names the page's
site, `Host` the name that was asked for. So both must be a name of this server, and a body must be
called JSON, which no page may send elsewhere without asking first.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from stages.plumbing.errors import InputError
from stages.serving.refusals import Refused

NAME = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?P<port>:[0-9]{0,5})?")
JSON = re.compile(r"application/([a-z0-9!#$&^_.+-]+\+)?json\s*(;.*)?", re.ASCII)
COMPRESSED = ("gzip", "x-gzip", "deflate", "br", "zstd", "compress")
OPEN = "start it with --allow-host"


def names_of(host: str, allowed: Iterable[str]) -> frozenset[str]:
    """The names that a server bound to `host` answers to, beside those of the loopback address.

    InputError if one of `allowed`, which a user gave, is no name or address.
    """
    for name in allowed:
        if not _named(name):
            raise InputError(
                f"--allow-host: a name or an address, without scheme and port, found {name!r}"
            )
    own = [] if _loops(_plain(host)) else [socket.gethostname()]
    return frozenset(_plain(name) for name in (host, *own, *allowed))


class Guard:
    """ASGI middleware that refuses what comes from elsewhere; `names` as `names_of` gives them."""

    def __init__(self, app: ASGIApp, names: frozenset[str]):
        self.app, self.names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._check(scope)
            except Refused as refused:
                await refused.answer()(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        names = self.names
        if reached := scope.get("server"):  # the address that the client has connected to
            names = names | {_plain(reached[0])}
        host = "".join(_values(scope, b"host"))  # one at most; HTTP/1.0 may have none
        if not (found := NAME.fullmatch(host)):
            raise Refused(403, "the request has no valid Host header")
        if not _known(found["name"], names):
            raise Refused(403, f"this server is not called {found['name'][:100]}: {OPEN} NAME")
        for origin in _values(scope, b"origin"):
            scheme, _, rest = origin.partition("://")
            found = NAME.fullmatch(rest)
            if scheme not in ("http", "https") or not (found and _known(found["name"], names)):
                raise Refused(403, f"pages of {origin[:100]} may not ask: {OPEN} NAME")
        for coding in _values(scope, b"content-encoding"):
            if coding in COMPRESSED:
                raise Refused(415, f"a body must not be compressed, as {coding} does")
        for kind in _values(scope, b"content-type"):
            if scope["method"] == "POST" and not JSON.fullmatch(kind):
                raise Refused(415, "a body must have the content type application/json")


def _known(name: str, names: frozenset[str]) -> bool:
    plain = _plain(name)
    return _loops(plain) or plain in names


def _loops(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _plain(name: str) -> str:
    """`name` as it compares: without brackets, the last dot, or an IPv4 address's IPv6 form."""
    name = name.lower().removesuffix(".").removeprefix("[").removesuffix("]").partition("%")[0]
    try:
        address = ip_address(name)
    except ValueError:
        return name
    return str(getattr(address, "ipv4_mapped", None) or address)


def _named(name: str) -> bool:
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        found = NAME.fullmatch(name.lower())
        return found is not None and found["port"] is None and not name.startswith("[")
    return True


def _values(scope: Scope, name: bytes) -> list[str]:
    found = [value for key, value in scope["headers"] if key == name]
    return [value.decode("latin-1").strip().lower() for value in found]
