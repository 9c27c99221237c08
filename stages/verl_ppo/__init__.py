"""The trainer `verl`: step A on GPUs and clusters, by verl's PPO with our agent loop and reward."""
