"""Verify the hash of every cached file and every output: `make verify`.

DVC takes a file for what it was as long as its size and time are the same. This reads all of it:
each object of DVC's cache against its name, each output against dvc.lock. Exit code 1 where one
differs, and a line for each. What is not here is no fault: it is counted, and comes by `dvc pull`
or `dvc repro`. Nothing is changed.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stages.plumbing.errors import InputError, run
from stages.plumbing.progress import progress
from stages.plumbing.reasons import reason
from stages.provenance.hashes import hash_of_listing, listing, md5_of

OBJECT = re.compile(r"[0-9a-f]{30}(\.dir)?")


@dataclass(frozen=True)
class Output:
    """An output that dvc.lock has: `md5` of a file, or of a folder's list (it ends in .dir)."""

    path: Path
    md5: str
    cached: bool
    pushed: bool


@dataclass(frozen=True)
class Cache:
    """DVC's cache: objects by the hashes that name them, and how it links files."""

    folder: Path
    objects: dict[str, Path]
    links: tuple[str, ...]

    def files(self, md5: str) -> dict[str, str] | None:
        """Name -> hash of the files of a folder; None where the cache does not have its list."""
        try:
            rows = json.loads(self.objects[md5].read_text(encoding="utf-8"))
            return {row["relpath"]: row["md5"] for row in rows}
        except (KeyError, TypeError, ValueError, OSError):
            return None


def main(argv: list[str] | None = None) -> int:
    """Print what differs; 1 if anything does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args(argv)
    outputs, cache = _checkout()
    here = [output for output in outputs if output.path.exists()]
    files = [*cache.objects.values(), *(file for o in here for file in _files(o.path))]
    found = 0
    with progress(total=sum(_size(f) for f in files), desc="reading", unit="B", scale=True) as bar:

        def md5(file: Path) -> str:
            size = _size(file)
            digest = md5_of(file)
            bar.update(size)
            return digest

        for line in (*_objects(cache, md5), *_outputs(here, cache, md5)):
            bar.write(line)
            found += 1
    for line in _summary(outputs, here, cache, found):
        print(line)
    return int(found > 0)


def _checkout() -> tuple[list[Output], Cache]:
    """What dvc.lock and the cache have. InputError where this is no checkout that DVC can read."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo:
            outs = [out for stage in repo.index.stages for out in stage.outs if out.hash_info]
            outputs = [
                Output(Path(str(o)), o.hash_info.value, o.use_cache, o.can_push) for o in outs
            ]
            folder = Path(repo.cache.local.path)
            links = tuple(repo.cache.local.cache_types)
    except DvcException as error:
        raise InputError(f"DVC cannot read this checkout ({reason(error)})") from None
    objects = {
        file.parent.name + file.name: file
        for file in sorted(folder.glob("??/*"))
        if OBJECT.fullmatch(file.name)
    }
    return outputs, Cache(folder, objects, links)


def _objects(cache: Cache, md5) -> Iterator[str]:
    """A line for each object that is not what its name says."""
    for name, file in cache.objects.items():
        try:
            whole = md5(file) == name.removesuffix(".dir")
        except OSError as error:
            yield f"{_shown(file)}: cannot be read ({error.strerror})"
            continue
        if not whole:
            yield f"{_shown(file)}: an object of the cache is not what its name says"


def _outputs(outputs: list[Output], cache: Cache, md5) -> Iterator[str]:
    """A line for each output, or each file of a folder, that is not what dvc.lock says, and for
    each that the cache should have and has not."""
    for output in outputs:
        try:
            yield from _output(output, cache, md5)
        except OSError as error:
            yield f"{error.filename}: cannot be read ({error.strerror})"
        if output.cached and output.pushed:
            lost = output.md5 not in cache.objects
            lost = lost or not set((cache.files(output.md5) or {}).values()) <= set(cache.objects)
            if lost:
                yield f"{output.path}: is not whole in the cache: a push would leave it out"


def _output(output: Output, cache: Cache, md5) -> Iterator[str]:
    if not output.path.is_dir():
        if md5(output.path) != output.md5:
            yield f"{output.path}: is not what dvc.lock says"
        return
    rows = listing(output.path, md5)
    if hash_of_listing(rows) == output.md5:
        return
    expected, present = cache.files(output.md5), {row["relpath"]: row["md5"] for row in rows}
    if expected is None:
        yield f"{output.path}: is not what dvc.lock says"
        return
    for name in sorted(expected.keys() | present.keys()):
        if name not in present:
            yield f"{output.path / name}: is missing, dvc.lock has it"
        elif name not in expected:
            yield f"{output.path / name}: is not in dvc.lock"
        elif expected[name] != present[name]:
            yield f"{output.path / name}: is not what dvc.lock says"


def _summary(outputs, here, cache: Cache, found: int) -> Iterator[str]:
    counted = f"{len(cache.objects)} objects of the cache and {len(here)} outputs"
    yield f"{counted} read: {f'{found} differ' if found else 'all are what they should be'}"
    if found:
        yield (
            "what is yours among them: copy it elsewhere; then delete what is named, the output "
            "and the object, and `dvc checkout`, `dvc pull` or `dvc repro` brings it back"
        )
    if missing := [str(output.path) for output in outputs if not output.path.exists()]:
        yield f"not here, so not read ({len(missing)}): {', '.join(missing)}"
    if "hardlink" not in cache.links and (linked := sum(_linked(o, cache) for o in here)):
        yield (
            f"{linked} outputs are hard links into the cache, from an older set-up: what writes "
            "into one writes into the cache: run `dvc checkout --relink`"
        )


def _linked(output: Output, cache: Cache) -> bool:
    """Whether a file of the output is a file of the cache."""
    names = {output.path: output.md5}
    if output.path.is_dir():
        listed = cache.files(output.md5) or {}
        names = {output.path / name: md5 for name, md5 in listed.items()}
    pairs = ((file, cache.objects.get(md5)) for file, md5 in names.items() if file.exists())
    return any(o is not None and not file.is_symlink() and o.samefile(file) for file, o in pairs)


def _files(path: Path) -> list[Path]:
    return [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]


def _size(file: Path) -> int:
    return file.stat().st_size


def _shown(file: Path) -> Path:
    here = Path.cwd()
    return file.relative_to(here) if file.is_relative_to(here) else file


if __name__ == "__main__":
    run(main)
