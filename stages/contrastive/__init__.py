"""Contrastive training of an encoder: its loss, its data and its processes (step C)."""
