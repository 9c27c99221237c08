"""Training data of the base models: demonstrations for the agent, judgements for the judge."""
