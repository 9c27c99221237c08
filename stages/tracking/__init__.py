"""MLflow: live curves while stages train, and a flywheel's runs rebuilt from its files."""

from stages.tracking.curves import live
from stages.tracking.rebuilding import rebuild

__all__ = ["live", "rebuild"]
