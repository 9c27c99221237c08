"""A synthetic multi-hop world: its words, facts, questions, demonstrations and grades."""
