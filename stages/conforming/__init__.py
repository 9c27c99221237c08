"""Logs of other programs, compared with what an agent would read here."""
