"""Pages as Chromium shows them; the fixture `browser` (conftest.py) finds it."""

import functools
import http.server
import subprocess
import threading
from pathlib import Path

OPTIONS = "--headless --no-sandbox --disable-gpu --virtual-time-budget=10000 --dump-dom"


def dom_of(browser: str, folder: Path, page: str) -> str:
    """The HTML of `page` of `folder`, served on the loopback, after its scripts have run."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/{page}"
        command = [browser, *OPTIONS.split(), f"--user-data-dir={folder}/browser", address]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        server.shutdown()
    return done.stdout
