"""Retrievers that learn what a frozen language model makes of passages (the REPLUG baseline)."""
