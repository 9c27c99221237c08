"""Limits on requests, so that no client can exhaust the retriever server."""

QUERIES = 16_384  # of a request, at most: a wave of a training loop
TOP_K = 1000
PASSAGES = 65_536  # of an answer: queries times topk
TEXT = 100_000  # characters of a query with its question and its history
HISTORY = 1000  # earlier queries
BODY = 4 * 2**20  # bytes
BODIES = 64 * 2**20  # bytes of all bodies together, from their first byte to their answer
EARLY = 2**16  # bytes of further requests on a connection whose first is being answered
CONNECTIONS = 4096  # at a time; further ones get 503

# Seconds:
REQUEST = 30.0  # for a request to arrive, from its first byte or the opening of the connection
ANSWER = 60.0  # for an answer to be taken, once it fills the connection
CLOSING = 10  # for the answers under way when the server is stopped
