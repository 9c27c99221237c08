"""Retrievers: how they read, are trained, and search a corpus."""
