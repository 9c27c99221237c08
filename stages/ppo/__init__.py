"""What both PPO trainers share: the task and its questions."""
