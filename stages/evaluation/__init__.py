"""Evaluate an (agent, retriever) pair: a summary of each question set, recall of gold passages."""
