"""Build an index: encode the corpus chunk by chunk, in one process or several (step D)."""
