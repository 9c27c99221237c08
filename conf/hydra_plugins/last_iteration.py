"""`${last_turn:}` in conf/: the run's last turn, "0" where there is none.

Hydra reads this folder wherever it composes conf/, in `dvc exp run` too.
"""

from omegaconf import DictConfig, OmegaConf


def last_turn(*, _root_: DictConfig) -> str:
    """The highest key of `iterations`."""
    return max(_root_.iterations, key=int, default="0")


OmegaConf.register_new_resolver("last_turn", last_turn, replace=True)
