"""What every stage shares and what can change a byte: rows of files, seeds, which weights load."""
