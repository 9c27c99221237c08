"""Runs side by side: the commit, this checkout, DVC's experiments."""
