"""Structured spaces as flat arrays: `observations` as a policy sees them, `actions` as it gives them."""

from puffer_numba.env import Emulated, Leaf
from puffer_numba.spaces.actions import ActionChecker, ActionLayout, HybridSpace
from puffer_numba.spaces.observations import ACTION_MASK, ObservationLayout, action_masks, leaf_bounds, mask_leaves

__all__ = [
    "ACTION_MASK",
    "ActionChecker",
    "ActionLayout",
    "Emulated",
    "HybridSpace",
    "Leaf",
    "ObservationLayout",
    "action_masks",
    "leaf_bounds",
    "mask_leaves",
]
