"""Read `metrics/`: a schema for each kind of file, one tidy table, and whether it is of this run."""
