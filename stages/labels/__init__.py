"""What the judge and the agent say of candidates, and which become training pairs (B3 to B6)."""
