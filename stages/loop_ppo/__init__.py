"""The trainer `loop`: step A in this process, a PPO small enough for a CPU."""
