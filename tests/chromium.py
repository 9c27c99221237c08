"""Pages as Chromium shows them; the fixture `browser` (conftest.py) finds it."""

import functools
import http.server
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

OPTIONS = "--headless --no-sandbox --disable-gpu --virtual-time-budget=10000"


def dom_of(browser: str, folder: Path, page: str) -> str:
    """The HTML of `page` of `folder`, served on the loopback, after its scripts have run."""
    with _served(folder) as address:
        return _shown(browser, f"{address}/{page}", "--dump-dom")


def picture_of(browser: str, folder: Path, page: str, file: Path, size: tuple[int, int]) -> None:
    """A PNG `file` of the top of `page`, `size` in pixels, served likewise."""
    with _served(folder) as address:
        options = [f"--window-size={size[0]},{size[1]}", f"--screenshot={file}"]
        _shown(browser, f"{address}/{page}", *options, "--hide-scrollbars")


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def _shown(browser: str, address: str, *options: str) -> str:
    with TemporaryDirectory() as profile:
        command = [browser, *OPTIONS.split(), f"--user-data-dir={profile}", *options, address]
        return subprocess.run(command, capture_output=True, text=True).stdout
