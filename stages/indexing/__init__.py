"""An index in the making: the corpus encoded chunk by chunk, by one process or several (step D)."""
