"""How a stage runs: resumable scratch folders, workers, its dependencies in dvc.yaml."""
