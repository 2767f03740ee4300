"""The trainer under the names that users of Stable-Baselines3 and Operant know: `PPO` and `PPOConfig`.

::

    from puffer_numba import PPO, PPOConfig

    model = PPO("cartpole", PPOConfig(learning_rate=1e-3)).learn(total_timesteps=100_000)
    action, _ = model.predict(observation, deterministic=True)
    model.save("cartpole_model")
    model = PPO.load("cartpole_model")

Their calls work as they are: ``PPO("MlpPolicy", env, learning_rate=3e-4)``, and
``PPO(env, config=PPOConfig(lr=3e-4, checkpoint_dir="checkpoints"))``.

It is `puffer_numba.pufferl.PuffeRL` that trains; nothing is implemented twice.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from puffer_numba import vector
from puffer_numba.config import Config
from puffer_numba.distributions.actions import seed_stream
from puffer_numba.emulation import GymnasiumPufferEnv
from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.errors import did_you_mean, integer
from puffer_numba.models.actor import Actor
from puffer_numba.models.load import load_policy
from puffer_numba.pufferl import PuffeRL, begin_as_set, with_its_policy
from puffer_numba.runs import checkpoint
from puffer_numba.runs.dashboard import make_dashboard
from puffer_numba.spaces.observations import ObservationLayout
from puffer_numba.train.setup import load_config, load_env

SETTINGS = {
    "n_envs": "env.num_envs",
    "n_steps": "train.horizon",
    "n_epochs": "train.update_epochs",
    "learning_rate": "train.learning_rate",
    "gamma": "train.gamma",
    "gae_lambda": "train.gae_lambda",
    "clip_range": "train.clip_coef",
    "clip_range_vf": "train.vf_clip_coef",
    "normalize_advantage": "train.norm_adv",
    "ent_coef": "train.ent_coef",
    "vf_coef": "train.vf_coef",
    "max_grad_norm": "train.max_grad_norm",
    "target_kl": "train.target_kl",
    "seed": "train.seed",
    "device": "train.device",
    "normalize_observations": "train.normalize_observations",
    "normalize_rewards": "train.normalize_returns",
}
"""Settings of `puffer_numba.config.Config`, by the names that they have in `PPOConfig`."""
_SB3_POLICIES = ("MlpPolicy", "CnnPolicy", "MultiInputPolicy")


Settings = TypeVar("Settings", bound=type)


def _refuses_unknown(cls: Settings) -> Settings:
    """A dataclass that says of a setting it does not have which ones are like it."""
    made: Any = cls
    init = made.__init__
    known = list(inspect.signature(init).parameters)[1:]

    @wraps(init)
    def checked(self: Any, *args: Any, **settings: Any) -> None:
        for name in settings:
            if name not in known:
                raise APIUsageError(
                    f"{cls.__name__} has no setting {name!r}.{did_you_mean(name, known)} It has {', '.join(known)}; "
                    "all others go by their own names into overrides: {'policy.hidden_size': 128}."
                )
        init(self, *args, **settings)

    made.__init__ = checked
    return cls


@_refuses_unknown
@dataclass
class PPOConfig:
    """Stable-Baselines3's arguments of PPO, and Operant's. None: what ``puffer train`` has for the environment.

    Raises:
        APIUsageError: a setting that there is not, or one that is given under two names.
    """

    learning_rate: float | None = None
    n_steps: int | None = None
    """Steps of each environment between two updates."""
    batch_size: int | None = None
    """Rows of a minibatch; it has to divide ``n_steps`` times the number of rows."""
    n_epochs: int | None = None
    gamma: float | None = None
    gae_lambda: float | None = None
    clip_range: float | None = None
    clip_range_vf: float | None = None
    normalize_advantage: bool | None = None
    normalize_observations: bool | None = None
    normalize_rewards: bool | None = None
    """Divide rewards by the running standard deviation of the discounted return."""
    ent_coef: float | None = None
    vf_coef: float | None = None
    max_grad_norm: float | None = None
    target_kl: float | None = None
    n_envs: int | None = None
    """Copies of an environment that is given by name or as a function."""
    seed: int | None = None
    device: str | None = None
    """"auto": a GPU where there is one."""
    verbose: int = 0
    """1: show the dashboard in `PPO.learn`."""
    checkpoint_dir: str | Path | None = None
    """Where `PPO.learn` saves checkpoints: at its end, and at the interval. None: nowhere."""
    checkpoint_interval: int | None = None
    """Updates between two checkpoints."""
    overrides: dict[str, Any] = field(default_factory=dict)
    """Any other settings, by their dotted names: ``{"policy.lstm": True, "env.gravity": 1.6}``."""
    lr: InitVar[float | None] = None
    """Operant's name of ``learning_rate``."""
    clip_eps: InitVar[float | None] = None
    """Operant's name of ``clip_range``."""

    def __post_init__(self, lr: float | None, clip_eps: float | None) -> None:
        for theirs, value, ours in (("lr", lr, "learning_rate"), ("clip_eps", clip_eps, "clip_range")):
            if value is not None:
                if getattr(self, ours) is not None:
                    raise APIUsageError(f"PPOConfig: {theirs} and {ours} are one setting; give one of them.")
                setattr(self, ours, value)
        if self.checkpoint_interval is not None:
            integer("PPOConfig: checkpoint_interval", self.checkpoint_interval, minimum=1)
            if self.checkpoint_dir is None:
                raise APIUsageError("PPOConfig: checkpoint_interval needs checkpoint_dir, the folder to save into.")
        if self.device == "auto":
            self.device = "cuda" if torch.cuda.is_available() else "cpu"

    def to_overrides(self) -> dict[str, Any]:
        """The settings that are not None, as `load_config` takes them; without ``batch_size`` and checkpoints."""
        given = {SETTINGS[name]: value for name, value in vars(self).items() if name in SETTINGS and value is not None}
        if self.clip_range_vf is not None:
            given["train.clip_vloss"] = True
        return given | self.overrides


class PPO:
    """Proximal policy optimization on one environment.

    Args:
        env: a name, as for ``puffer train``; a `PufferEnv`; a function that makes a `gymnasium.Env`, a PettingZoo
            environment or a `PufferEnv`, which is called ``n_envs`` times; or one `gymnasium.Env`. Where it is
            "MlpPolicy", "CnnPolicy" or "MultiInputPolicy", as in Stable-Baselines3, the environment is the second
            argument; the network follows from its observations.
        config: a `PPOConfig`, or the trainer's own `Config`.
        policy: a torch module, as `puffer_numba.models` describes; by default what the settings say.
        **settings: of a `PPOConfig`, in place of ``config``.

    Attributes:
        env: the environments, as one `PufferEnv`.
        config: the trainer's whole configuration.
        trainer: the `PuffeRL`.
        policy: the network.

    Raises:
        APIUsageError: something that is no environment; a setting that cannot be used.
    """

    def __init__(
        self,
        env: str | PufferEnv | gymnasium.Env[Any, Any] | Callable[..., Any],
        config: Any = None,
        policy: nn.Module | None = None,
        **settings: Any,
    ) -> None:
        if isinstance(env, str) and env in _SB3_POLICIES:
            env, config = settings.pop("env", config), None
        if settings and config is not None:
            raise APIUsageError(f"PPO() got config and {next(iter(settings))}, which belongs into the config.")
        config = PPOConfig(**settings) if config is None else config
        if not isinstance(config, PPOConfig | Config):
            raise APIUsageError(f"PPO() got {config!r} for config; expected a PPOConfig.")
        self.config = config if isinstance(config, Config) else _whole_config(env, config)
        self.env = _environments(env, self.config)
        self._shows, self._saves = False, False
        if isinstance(config, PPOConfig):
            self._shows, self._saves = config.verbose > 0, config.checkpoint_dir is not None
            self._split(config)
        self.trainer = PuffeRL(self.config, self.env, policy or load_policy(self.config, self.env))
        if isinstance(config, PPOConfig) and config.checkpoint_dir is not None:
            self.trainer.run_dir = Path(config.checkpoint_dir)
        begin_as_set(self.trainer)
        self.policy = self.trainer.policy
        self._stream = seed_stream(self.config.train.seed)

    def _split(self, config: PPOConfig) -> None:
        """Settings that depend on how many rows a rollout has."""
        train, rows = self.config.train, self.config.train.horizon * self.env.num_agents
        if config.batch_size is not None:
            if config.batch_size < 1 or rows % config.batch_size:
                raise APIUsageError(f"batch_size is {config.batch_size}; expected a divisor of the {rows} rows.")
            train.num_minibatches = rows // config.batch_size
        if config.checkpoint_interval is not None:
            train.checkpoint_interval = config.checkpoint_interval * rows

    @property
    def num_timesteps(self) -> int:
        """Steps that have been trained for, summed over the rows."""
        return self.trainer.global_step

    def learn(self, total_timesteps: int, progress_bar: bool = False) -> PPO:
        """Train for ``total_timesteps`` more steps, summed over the rows, and return self.

        Checkpoints go where ``PPOConfig.checkpoint_dir`` says.

        The learning rate falls to zero towards their end, where ``train.anneal_lr`` is on.

        Args:
            total_timesteps: how many.
            progress_bar: show the dashboard.
        """
        trainer = self.trainer
        trainer.dashboard = make_dashboard() if progress_bar or self._shows else None
        try:
            trainer.learn(trainer.global_step + total_timesteps)
        finally:
            if trainer.dashboard is not None:
                trainer.dashboard.close()
        if self._saves:
            trainer.save_checkpoint()
        return self

    @torch.inference_mode()
    def predict(
        self,
        observation: Any,
        state: NDArray[np.float32] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
        """Actions on ``observation``, as Stable-Baselines3's ``predict`` gives them.

        Args:
            observation: one, or a batch ``(rows, ...)``; of a Dict or Tuple space one as the environment's own space
                has it, or a batch as the `PufferEnv` returns it.
            state: what the call before returned, of a recurrent policy; None: the initial state.
            episode_start: ``(rows,)``: where an episode begins, and with it the initial state.
            deterministic: the greedy action, instead of a sampled one.

        Returns:
            The action of one observation, or of each in the batch, and the next state ``(2, rows, hidden_size)``,
            which is None where the policy is not recurrent.

        Raises:
            APIUsageError: an observation of another shape.
        """
        observations, is_one = self._batch(observation)
        rows, trainer = len(observations), self.trainer
        actor = Actor(self.policy, rows, trainer.normalizer)
        if actor.state is not None and state is not None:
            actor.state.copy_(torch.from_numpy(state))
            actor.reset_state(
                np.zeros(rows, np.bool_) if episode_start is None else np.asarray(episode_start, np.bool_)
            )
        params, _ = actor.act(torch.from_numpy(observations), np.ones(rows, np.bool_))
        distribution = trainer.distribution
        if deterministic:
            actions = distribution.mode(params).cpu().numpy()
        else:
            sampled, log_probs = distribution.storage(rows)
            self._stream[1] += np.uint64(1)
            distribution.sample(params, self._stream, sampled, log_probs)
            actions = distribution.to_env(sampled)
        after = None if actor.state is None else actor.state.cpu().numpy()
        return (actions[0] if is_one else actions), after

    def _batch(self, observation: Any) -> tuple[NDArray[Any], bool]:
        """The observation as a batch of flat ones, and whether it was a single one."""
        space = self.env.single_observation_space
        emulated = self.env.emulated
        if isinstance(observation, dict | tuple) and emulated is not None:
            flat = np.zeros((1, *space.shape), space.dtype)
            ObservationLayout(emulated.observation_space).writer(flat[0])(observation)
            return flat, True
        array = np.ascontiguousarray(observation, space.dtype)
        if array.shape == space.shape:
            return array[None], True
        if array.shape[1:] != space.shape:
            raise APIUsageError(
                f"predict() got an observation of shape {array.shape}; expected {space.shape}, or a batch "
                f"(rows, {', '.join(map(str, space.shape))})."
            )
        return array, False

    def save(self, path: str | Path) -> Path:
        """Write a checkpoint folder at ``path``, and return it: safetensors and JSON, from which `load` continues."""
        return checkpoint.save(path, self.trainer.state_dict())

    @classmethod
    def load(
        cls,
        path: str | Path,
        env: str | PufferEnv | gymnasium.Env[Any, Any] | Callable[..., Any] | None = None,
        policy: nn.Module | None = None,
    ) -> PPO:
        """The model that a checkpoint holds, which continues learning where that was.

        Args:
            path: a checkpoint's folder, of `save` or of ``puffer train``.
            env: the environment, where it was not given by name.
            policy: the module, where it was one of your own; its weights are loaded.

        Raises:
            CheckpointError: it is missing, damaged, or does not fit.
        """
        saved = checkpoint.load(path)
        config = saved.config.update({"train.target_return": None, "policy.from": None})  # it has begun
        if env is None and not config.env_name:
            raise APIUsageError(f"{path} is of an environment without a name; pass it: PPO.load(path, env).")
        model = cls(env or config.env_name, config, policy)
        saved.load_into(model.trainer)
        return model

    def close(self) -> None:
        """Close the environments."""
        self.trainer.close()


def _whole_config(env: Any, config: PPOConfig) -> Config:
    """The settings for ``env``, where ``config`` does not say otherwise."""
    # learn() trains for the steps that it is told, and saves where it is told
    overrides = {"train.target_return": None, "train.checkpoint_interval": 0} | config.to_overrides()
    if isinstance(env, str):
        return with_its_policy(load_config(env, overrides)).update(overrides)
    recommended = getattr(env, "train_config", {})
    whole = Config().update({k: v for k, v in recommended.items() if not k.startswith("env.")}).update(overrides)
    whole = with_its_policy(whole).update(overrides)
    whole.validate()
    return whole


def _environments(env: Any, config: Config) -> PufferEnv:
    if isinstance(env, str):
        return load_env(dataclasses.replace(config, env_name=env))
    if isinstance(env, PufferEnv):
        return env
    if isinstance(env, gymnasium.Env):
        return GymnasiumPufferEnv(env)
    if callable(env):
        return vector.make(env, num_envs=config.env.num_envs, seed=config.train.seed)
    raise APIUsageError(
        f"PPO() got {env!r}; expected a name such as 'cartpole', a PufferEnv, a gymnasium.Env, or a function that "
        "makes one. (A gymnasium.vector.VectorEnv steps by itself: pass what it is made of.)"
    )
