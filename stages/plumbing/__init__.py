"""What carries a run and changes no result: errors, progress, usage, addresses."""
