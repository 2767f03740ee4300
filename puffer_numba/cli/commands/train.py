"""``puffer train``: train a policy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import tyro

from puffer_numba.cli.aliases import translate
from puffer_numba.cli.arguments import parse, require_trainer, take_name, wants_help
from puffer_numba.config import Config, EvalConfig, LogConfig, PolicyConfig, TrainConfig, VecConfig
from puffer_numba.options import chosen_config, run_options
from puffer_numba.runs.signals import Terminated
from puffer_numba.train.setup import load_config

_RESUME = 'A checkpoint\'s or run\'s folder, "latest" or "best", to continue from.'


@dataclass
class GenericTrain:
    """Train a policy with PPO. With NAME, --help also shows the environment's own parameters and settings."""

    train: TrainConfig = field(default_factory=TrainConfig)
    vec: VecConfig = field(default_factory=VecConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    eval: EvalConfig = field(default_factory=EvalConfig)
    log: LogConfig = field(default_factory=LogConfig)
    resume: str | None = None
    """Continue from a checkpoint: its folder, its run's folder, "latest" or "best"."""


def run(args: list[str]) -> int:
    if wants_help(args):
        parse(GenericTrain, "puffer train NAME", args)
    spec, args = take_name("train", args)
    config = _saved_config(spec.name, args) or load_config(spec.name)
    doc = f"Train a policy on {spec.name} with PPO."
    resume = ("resume", Annotated[str | None, tyro.conf.arg(help=_RESUME)], field(default=None))
    options = parse(run_options(spec, config, doc, resume), f"puffer train {spec.name}", args)
    config = chosen_config(spec, options, config)

    pufferl = require_trainer()
    trainer = pufferl.make_trainer(spec.name, config=config, resume_from=options.resume)
    if trainer.finished:
        print(f"nothing to do: {trainer.global_step} steps are done; --train.total-timesteps sets how many to do.")
        return 0
    try:
        pufferl.run(trainer)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(_what_was_saved(trainer)) from None
    except Terminated as ended:
        ended.message = _what_was_saved(trainer)
        raise
    if not trainer.world.is_first:
        return 0
    if trainer.self_play is not None and trainer.self_play.standings.scores.any():
        _print_standings(trainer.self_play.standings)
    if trainer.solved:
        print(f"solved: the last 100 episodes returned {trainer.statistics.mean_return:.1f} on average")
    if trainer.evaluated_well:
        print(f"solved: an evaluation returned {trainer.evaluation['episode_return']:.1f} on average")
    print(f"saved {trainer.last_checkpoint}")
    return 0


def _what_was_saved(trainer: Any) -> str:
    saved = trainer.last_checkpoint
    return f"saved {saved}; continue with --resume {saved}" if saved else "nothing was learned yet"


def _print_standings(standings: Any) -> None:
    ratings = standings.ratings()
    print(f"{'version at step':>16}{'Elo':>8}{'games':>8}{'won':>8}")
    games = standings.scores + standings.scores.T
    for step, rating, played, won in zip(standings.steps, ratings, games.sum(1), standings.scores.sum(1), strict=True):
        print(f"{step:16,}{rating:8.0f}{played:8.0f}{won / max(played, 1):8.0%}")


def _saved_config(env_name: str, args: list[str]) -> Config | None:
    """The configuration of the run that ``--resume`` in ``args`` continues, or with the policy that ``--policy.from``
    names; None without.
    """

    @dataclass
    class Where:
        resume: str | None = None
        policy: Annotated[str | None, tyro.conf.arg(name="policy.from")] = None
        policy_name: Annotated[str | None, tyro.conf.arg(name="policy.name", aliases=["--policy"])] = None
        data_dir: Annotated[str, tyro.conf.arg(name="train.data-dir")] = TrainConfig.data_dir

    words = translate([a for a in args if a not in ("-h", "--help")], {"--resume": str, "--train.data-dir": str})
    where, _ = tyro.cli(Where, args=words, return_unknown_args=True)
    if where.resume is None and where.policy is None:
        return None
    pufferl = require_trainer()
    from puffer_numba.runs import checkpoint

    if where.resume is None:
        given = {"train.data_dir": where.data_dir, "policy.name": where.policy_name, "policy.from": where.policy}
        return pufferl.with_its_policy(load_config(env_name, given))
    return checkpoint.load_of(env_name, where.resume, where.data_dir, where.policy_name).config
