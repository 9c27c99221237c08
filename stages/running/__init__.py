"""How a stage runs: scratch folders that survive a kill, workers, what dvc.yaml says it needs."""
