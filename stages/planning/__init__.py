"""What a run will take, from its parameters alone: rollouts, tokens, GPU hours, memory, disk."""
