"""The one reader of `metrics/`: a schema for each kind of file, a table of what they hold, and
whether they are of the run that is asked about."""
