"""Shared by all stages and able to change an output: file rows, seeds, model loading."""
