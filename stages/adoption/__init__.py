"""Logs of other programs, read as trajectories: who wrote what, and what was searched."""
