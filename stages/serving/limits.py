"""Limits on requests, so that no client can exhaust the retriever server."""

QUERIES = 16_384  # of a request, at most: a wave of a training loop
TOP_K = 1000
PASSAGES = 65_536  # of an answer: queries times topk
TEXT = 100_000  # characters of a query with its question and its history
HISTORY = 1000  # earlier queries
# bytes; for each query of the largest wave 2,000 letters, or 340 characters of a script such as Han
# as JSON escapes them: more than the 128 tokens that the paper's code leaves of a query
BODY = 32 * 2**20
SIGNS = 2**21  # commas and opening brackets of a body, since a value may take 30 times its bytes
BODIES = 64 * 2**20  # bytes of all bodies together, from their first byte to their answer
EARLY = 2**16  # bytes of further requests on a connection whose first is being answered
CONNECTIONS = 4096  # at a time; further ones get 503

# Seconds:
REQUEST = 30.0  # for a request to arrive, from its first byte or the opening of the connection
ANSWER = 60.0  # for an answer to be taken, once it fills the connection
CLOSING = 10  # for the answers under way when the server is stopped
