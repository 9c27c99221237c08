"""The checks of all parameters together."""

from __future__ import annotations

import math
from dataclasses import asdict

from stages.params.across import rules_across_blocks
from stages.params.names import (
    check_guests,
    check_iterations,
    check_names,
    check_pairs,
    check_retrievers,
)
from stages.params.numbers import FASTEST, floats, highest, integers
from stages.params.rules import rules
from stages.params.run import Params
from stages.params.texts import text_rules
from stages.params.training_rules import training_rules
from stages.plumbing.errors import InputError


def check_params(params: Params, path: str) -> None:
    """Rules that types cannot say."""
    check_iterations(params, path)
    check_names(params, path)
    check_pairs(params, path)
    check_guests(params.guest, path)
    for key, value, least in integers(params):
        if value < least:
            raise InputError(f"{path}: '{key}' must be at least {least}, found {value}")
    check_retrievers(params, path)
    for key, value in floats(asdict(params)):
        if not math.isfinite(value):
            raise InputError(f"{path}: '{key}' must be a finite number, found {value}")
        if key.endswith("learning_rate") and not 0 <= value <= FASTEST:
            raise InputError(f"{path}: '{key}' must be from 0 to {FASTEST:g}, found {value:g}")
    for rules_of in (text_rules, rules, training_rules, rules_across_blocks):
        for key, rule, holds in rules_of(params):
            if not holds:
                raise InputError(f"{path}: '{key}' {rule}")
    for key, value, most in highest(asdict(params)):
        if value > most:
            raise InputError(f"{path}: '{key}' must be at most {most}, found {value}")
