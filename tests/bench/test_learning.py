"""The trainer learns environments that nobody here wrote, with their recommended settings.

LunarLander counts as solved at 200, after three times as long: ``python -m bench.studies.learning gym:LunarLander-v3``
does that. Without learning it is at -180.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from puffer_numba.pufferl import PuffeRL, load_config, load_env, load_policy

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("name", "score"), [("gym:LunarLander-v3", 50.0), ("gym:Pendulum-v1", -200.0)])
def test_scores(name: str, score: float, tmp_path: Path) -> None:
    config = load_config(name, {"train.target_return": score, "train.data_dir": str(tmp_path), "vec.num_workers": 1})
    env = load_env(config)
    trainer = PuffeRL(config, env, load_policy(config, env))
    trainer.learn()
    trainer.close()
    assert trainer.solved
    assert trainer.statistics.mean_return >= score
