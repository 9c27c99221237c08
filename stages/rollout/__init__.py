"""How an agent searches: the protocol that it talks and the loop of its turns."""
