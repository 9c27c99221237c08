"""Names in the parameters: no gap in iterations, one model a name, pairs of models that exist."""

from __future__ import annotations

import re
from operator import attrgetter

from stages.params.models import Guest
from stages.params.run import Params
from stages.plumbing.errors import InputError

LONGEST = 100  # bytes of a name; a file's may have 255, with all that is written around it
PLAIN = re.compile(r"\w[\w-]*")  # names that files and DVC's stages can bear


def check_iterations(params: Params, path: str) -> None:
    for number, (name, iteration) in enumerate(params.iterations.items(), 1):
        if name != str(number) or iteration.previous != str(number - 1):
            raise InputError(
                f"{path}: 'iterations' must run without a gap: iteration {number} must be "
                f'"{number}": {{previous: "{number - 1}"}}, '
                f'found "{name}": {{previous: "{iteration.previous}"}}'
            )
    last = list(params.iterations)[-1] if params.iterations else "0"
    if params.last_iteration not in (None, last):
        raise InputError(
            f"{path}: 'last_iteration' must be {last!r}, the last of 'iterations', found "
            f"{params.last_iteration!r}; `make params` composes it"
        )


def check_names(params: Params, path: str) -> None:
    """Names become those of files and stages."""
    for key in ("compare", "oracle", "guest", "baseline", "published", "replug.retrievers"):
        seen: dict[str, str] = {}
        for name in attrgetter(key)(params):
            if (other := seen.setdefault(name.casefold(), name)) != name:
                raise InputError(
                    f"{path}: '{key}': {other!r} and {name!r} would be one file where file names "
                    "have no case"
                )
            if not PLAIN.fullmatch(name):
                raise InputError(f"{path}: '{key}': {name!r} is not of letters, digits, '_-' only")
            if len(name.encode()) > LONGEST:
                raise InputError(
                    f"{path}: '{key}': {name[:20]!r}... is longer than {LONGEST} bytes, too much "
                    "for the names of files"
                )


def check_pairs(params: Params, path: str) -> None:
    agents = ["0", *params.iterations, "scripted", *params.guest]
    for key, pairs in (("compare", params.compare), ("oracle", params.oracle)):
        for name, pair in pairs.items():
            where = f"{path}: '{key}.{name}"
            if name.isdigit():
                raise InputError(f"{where}': that is how an iteration's own pair is called")
            for role, known in (("agent", agents), ("retriever", params.all_retrievers)):
                if (found := getattr(pair, role)) not in known:
                    there = ", ".join(known)
                    raise InputError(
                        f"{where}.{role}': no iteration '{found}', and no other {role} of that "
                        f"name; there are {there}"
                    )
            if key == "oracle" and name in params.compare:
                raise InputError(f"{where}': 'compare' has a pair of that name")


def check_retrievers(params: Params, path: str) -> None:
    taken = {"bm25"}
    named = {"replug.retrievers": params.replug.retrievers, "baseline": params.baseline}
    named["published"] = params.published
    for key, names in named.items():
        for name in names:
            if name.isdigit() or name in taken:
                raise InputError(f"{path}: '{key}': '{name}' is the name of another")
            taken.add(name)
    for name, keys in params.replug.retrievers.items():
        if keys:
            raise InputError(
                f"{path}: 'replug.retrievers.{name}' must be {{}}: all are trained as 'replug' says"
            )


def check_guests(guests: dict[str, Guest], path: str) -> None:
    for name, guest in guests.items():
        if name.isdigit() or name == "scripted":
            raise InputError(f"{path}: 'guest.{name}': that is the name of another agent")
        if not 0 <= guest.doubt <= 1:
            raise InputError(f"{path}: 'guest.{name}.doubt' is a probability, from 0 to 1")
        for key, places in (("search", ("thought", "query")), ("answer", ("thought", "answer"))):
            for place in places:
                if "{" + place + "}" not in getattr(guest, key):
                    raise InputError(f"{path}: 'guest.{name}.{key}' does not contain {{{place}}}")
