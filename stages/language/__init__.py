"""Small causal language models made from scratch: tokenizer, architecture, training."""
