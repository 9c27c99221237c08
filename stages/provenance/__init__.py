"""Where an output comes from: dvc.lock read backwards, from an output to the corpus."""
