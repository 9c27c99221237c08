"""Sample what a stage that runs on a card holds: memory of the cards, and of all its processes.

vLLM's engine and verl's workers are processes of their own, of which torch says nothing in the
stage's. NVML counts whatever a card holds, so other programs' work on it meanwhile counts too.
"""

from __future__ import annotations

import os
import threading

PERIOD = 1.0  # seconds between two looks at the cards
HOST = 10  # looks between two sums over the processes, which take milliseconds
PATIENCE = 5.0  # seconds for the last look


class Sampler:
    """Peaks in bytes, from `start` to `stop`: `card`, the most by which a card in sight came to
    hold more than at the start (None if none answered), and `host`, of this process and those
    below it together, what they share left out.
    """

    def __init__(self) -> None:
        self.card: int | None = None
        self.host = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Sampler:
        """Look from now on, in a thread that ends with the process."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """Look once more."""
        self._ended.set()
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        import psutil
        import pynvml

        try:
            pynvml.nvmlInit()
            cards = _in_sight(pynvml)
            before = [pynvml.nvmlDeviceGetMemoryInfo(card).used for card in cards]
            looks, last = 0, False
            while cards:
                now = [pynvml.nvmlDeviceGetMemoryInfo(card).used for card in cards]
                more = max(held - at_first for held, at_first in zip(now, before, strict=True))
                self.card = max(self.card or 0, more)
                if last or looks % HOST == 0:
                    self.host = max(self.host, _unshared(psutil))
                if last:
                    return
                looks, last = looks + 1, self._ended.wait(PERIOD)
        except pynvml.NVMLError:  # no card answers, or no longer
            return


def _in_sight(nvml) -> list:
    """Handles of the cards that CUDA_VISIBLE_DEVICES leaves, by number or by name."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    words = range(nvml.nvmlDeviceGetCount()) if named is None else named.split(",")
    return [
        nvml.nvmlDeviceGetHandleByIndex(int(word))
        if word.isdigit()
        else nvml.nvmlDeviceGetHandleByUUID(word)
        for word in (str(word).strip() for word in words)
        if word
    ]


def _unshared(psutil) -> int:
    """Bytes of this process and of those below it that are resident and no file's."""
    own, total = psutil.Process(), 0
    for process in (own, *own.children(recursive=True)):
        try:
            held = process.memory_info()
        except psutil.Error:  # it has ended
            continue
        total += held.rss - getattr(held, "shared", 0)
    return total
