"""The REPLUG baseline: train a retriever on the likelihoods of a frozen language model."""
