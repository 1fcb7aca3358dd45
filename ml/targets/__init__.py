"""Targets: what a model is to predict, each with the interval of time that it looks at.

A row acts at its ``available_at``. It can't trade at its own close, which is known only when the bar is over:
the entry is the open of the bar that begins ``delay`` bars after ``available_at`` (one by default). Every
label carries ``[available_at, t_end]``; the splitters of `ml.splits` purge by it.
"""

from ml.targets.barriers import triple_barrier
from ml.targets.horizon import create_target_classification, create_target_regression
from ml.targets.overlap import overlap_weights
from ml.targets.quantiles import QuantileLabeler
from ml.targets.rewards import rl_rewards

__all__ = [
    "QuantileLabeler",
    "create_target_classification",
    "create_target_regression",
    "overlap_weights",
    "rl_rewards",
    "triple_barrier",
]
