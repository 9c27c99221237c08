"""Agentic-R as a DVC pipeline: one module a stage, library packages below them."""
