"""How an agent searches: the protocol it talks, the generator that writes, the loop of both."""
