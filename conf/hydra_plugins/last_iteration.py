"""`${last_iteration:}` in conf/: the run's last iteration, "0" where there is none.

Hydra reads this folder wherever it composes conf/, in `dvc exp run` too.
"""

from omegaconf import DictConfig, OmegaConf


def last_iteration(*, _root_: DictConfig) -> str:
    """The highest key of `iterations`; what is no iteration is refused by who reads them."""
    found = _root_.iterations if isinstance(_root_.iterations, DictConfig) else ()
    return max((str(key) for key in found if str(key).isdecimal()), key=int, default="0")


OmegaConf.register_new_resolver("last_iteration", last_iteration, replace=True)
