"""Figures of an (agent, retriever) pair: summary over a question set, recall of gold passages."""
