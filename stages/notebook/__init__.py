"""What the stages do with files, for one question, query or passage at a time: docs/api.md."""
