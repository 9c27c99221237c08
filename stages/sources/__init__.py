"""Where a corpus and questions come from when they are not made: files, and files of the hub."""
