"""Visits: which of the passages that a turn was shown the agent then used."""
