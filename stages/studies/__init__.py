"""Studies: many DVC experiments, and one tidy table of what they measured."""
