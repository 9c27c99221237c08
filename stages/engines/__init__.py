"""Language models that write: transformers, vLLM or an endpoint, one interface."""
