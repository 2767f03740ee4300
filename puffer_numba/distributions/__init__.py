"""What a policy's outputs stand for: distributions over actions, and sampling from them."""

from puffer_numba.distributions.actions import (
    ActionDistribution,
    CategoricalActions,
    GaussianActions,
    HybridActions,
    action_distribution,
    action_params,
    seed_stream,
)

__all__ = [
    "ActionDistribution",
    "CategoricalActions",
    "GaussianActions",
    "HybridActions",
    "action_distribution",
    "action_params",
    "seed_stream",
]
