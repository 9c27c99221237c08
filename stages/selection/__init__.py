"""Which candidates become training instances (step B6)."""
