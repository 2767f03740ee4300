"""PPO settings for environments that are not ours, found by trying; `load_config` starts from them.

Scores that they reach, and in which time: ``bench/studies/learning.py``.
"""

from __future__ import annotations

from typing import Any

RECOMMENDED: dict[str, dict[str, Any]] = {
    "gym:LunarLander-v3": {
        "env.num_envs": 32,
        "train.total_timesteps": 500_000,
        "train.horizon": 256,
        "train.num_minibatches": 32,
        "train.update_epochs": 4,
        "train.learning_rate": 1.5e-3,
        "train.gamma": 0.999,
        "train.gae_lambda": 0.98,
        "train.ent_coef": 0.005,
    },
    "gym:Pendulum-v1": {
        "env.num_envs": 16,
        "train.total_timesteps": 150_000,
        "train.horizon": 128,
        "train.num_minibatches": 16,
        "train.update_epochs": 8,
        "train.learning_rate": 1e-3,
        "train.gamma": 0.95,
        "train.ent_coef": 0.0,
        "policy.shared": False,
    },
}
"""Overrides as `load_config` takes them, by the environment's name."""
