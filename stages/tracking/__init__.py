"""MLflow: live curves while stages train, and a flywheel's runs rebuilt from its files."""

from stages.tracking.live import live
from stages.tracking.rebuild import rebuild

__all__ = ["live", "rebuild"]
