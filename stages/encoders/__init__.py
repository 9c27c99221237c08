"""Encoders of queries and passages: their folders, and texts to vectors."""
