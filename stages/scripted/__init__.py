"""The scripted agent of the synthetic world, and the facts that it reads."""
