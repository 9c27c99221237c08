"""Model cards of trained retrievers."""
