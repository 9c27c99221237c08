"""A retriever behind HTTP: the server's application, its batches, and a client."""
