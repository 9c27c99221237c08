"""What `conf/` and overrides of it come to, checked before a run."""
