"""Wait for what another process or thread does."""

import math
import time
from collections.abc import Callable


def wait_until(holds: Callable[[], object], at_most: float = math.inf) -> bool:
    """Wait until `holds()`, or for so many seconds; whether it held. Pytest ends what hangs."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > at_most:
            return False
        time.sleep(0.02)
    return True
