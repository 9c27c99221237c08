"""The judge: prompts, replies, sub-answers and local relevance (steps B3 and B4)."""
