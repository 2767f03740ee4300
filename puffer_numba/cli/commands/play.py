"""``puffer play``: play an environment with the keyboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from puffer_numba.cli.arguments import params_of, parse, parse_with_params, require_trainer, take_name, wants_help
from puffer_numba.config import TrainConfig
from puffer_numba.env import APIUsageError
from puffer_numba.jit import JitEnv
from puffer_numba.registry import EnvSpec

if TYPE_CHECKING:
    from puffer_numba.render.play import Player


@dataclass
class Play:
    """Play an environment with the keyboard."""

    fps: int | None = None
    """Steps for each second; by default the environment's own."""
    seed: int | None = None
    """Of the environment; by default another one each time."""
    checkpoint: str | None = None
    """A trained policy acts for the other agents, and for you while no key is pressed: that of this checkpoint, run's
    folder, "latest" or "best"."""
    policy: str | None = None
    """A policy of your own, such as my_module:MyPolicy; by default, of runs in data_dir, that which was trained."""
    data_dir: str = TrainConfig.data_dir
    """Where "latest" looks for checkpoints."""


def run(args: list[str]) -> int:
    if wants_help(args):
        parse(Play, "puffer play NAME", args)
    spec, args = take_name("play", args)
    if not issubclass(spec.env_class, JitEnv):
        raise APIUsageError(
            f"puffer play is for environments of this library; gymnasium.utils.play is for {spec.name}."
        )
    options = parse_with_params(Play, spec, f"puffer play {spec.name}", args)
    from puffer_numba.render.play import play

    params = {**spec.defaults, **params_of(spec, options), "num_envs": 1, "seed": options.seed}
    with spec.env_class(**params) as env:
        play(env, options.fps, player=None if options.checkpoint is None else _player(spec, options, env))
    return 0


def _player(spec: EnvSpec, options: Any, env: JitEnv) -> Player:
    """The policy of the checkpoint that ``options`` name."""
    require_trainer()
    from puffer_numba.runs import checkpoint
    from puffer_numba.runs.evaluation import load_trained
    from puffer_numba.train.episodes import policy_player

    saved = checkpoint.load_of(spec.name, options.checkpoint, options.data_dir, options.policy)
    policy, normalizer = load_trained(saved, env)
    return policy_player(policy, env.single_action_space, normalizer=normalizer, seed=options.seed or 0)
