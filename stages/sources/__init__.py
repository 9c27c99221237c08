"""Read a corpus and questions from files or from the Hugging Face hub."""
