"""MLflow: live curves while stages train, and a flywheel's runs rebuilt from its files."""
