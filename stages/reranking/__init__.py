"""Another order of what a search found, before the agent is shown it."""
