"""Retrievers: how they read a query, and search an index."""
