"""Agentic-R as a DVC pipeline: one module a stage, library packages below them."""

import os

from stages.common import portable

# Threads that wait for others sleep instead of spinning: on a shared machine spinning threads slow
# a stage down several times. Read by OpenMP when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
portable.set_up()
