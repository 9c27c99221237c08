"""What carries a run and changes no result: errors, progress, scratch, workers, usage."""
