"""Read `metrics/`: a schema for each kind of file, one tidy table, a check of whose run it is."""
