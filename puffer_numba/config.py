"""The settings of a training run, as typed dataclasses; each docstring becomes the help of its option.

A value comes from, in increasing precedence: the defaults here, the environment's own ``train_config`` or preset,
and overrides from the caller or the command line. Overrides are dotted names: ``train.learning_rate``.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

import tyro

from puffer_numba.errors import APIUsageError, close_matches

Optimizer = Literal["adam", "muon"]
Advantage = Literal["gae", "vtrace"]
Activation = Literal["relu", "tanh", "gelu"]
NonFinite = Literal["stop", "skip"]
Backend = Literal["auto", "native", "serial", "multiprocessing", "ray"]
Precision = Literal["float32", "bfloat16"]
LearnerName = Literal["auto", "torch", "compiled"]
Compile = Literal["off", "default", "reduce-overhead", "max-autotune"]
Convolution = Literal["auto", "none", "small", "nature", "impala"]
PolicySource = Annotated[str | None, tyro.conf.arg(name="from")]  # as "from" is a word of the language
PolicyName = Annotated[str | None, tyro.conf.arg(aliases=["--policy"])]
Pruner = Literal["median", "hyperband", "none"]


@dataclass
class TrainConfig:
    """Proximal policy optimization, and the run around it."""

    total_timesteps: int = 1_000_000
    """Steps to train for, summed over all rows of the batch."""
    horizon: int = 64
    """Steps of each environment between two updates (CleanRL: num_steps)."""
    learning_rate: float = 2e-3
    """Step size of the optimizer at the start."""
    anneal_lr: bool = True
    """Lower the learning rate to zero, linearly over total_timesteps."""
    gamma: float = 0.99
    """Discount of the reward one step later."""
    gae_lambda: float = 0.95
    """Trade-off of bias (0) against variance (1) in the advantages."""
    update_epochs: int = 3
    """Passes over each rollout."""
    num_minibatches: int = 8
    """Optimizer steps in each pass."""
    clip_coef: float = 0.2
    """The policy's ratio is clipped to 1 - clip_coef .. 1 + clip_coef."""
    clip_vloss: bool = False
    """Clip the change of the value too. It helps only where returns are scaled to about 1."""
    vf_clip_coef: float = 0.2
    """How far the value may move from that of the rollout, where clip_vloss is on."""
    ent_coef: float = 0.003
    """Weight of the entropy bonus."""
    vf_coef: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 1.0
    """Gradients longer than this are scaled down to it; 0 turns clipping off."""
    norm_adv: bool = True
    """Normalize the advantages of each minibatch to mean 0 and standard deviation 1."""
    target_kl: float | None = None
    """Stop updating on a rollout once the policy has moved this far (approximate KL divergence)."""
    non_finite: NonFinite = "stop"
    """When a loss or gradient is NaN or infinite: stop, before it reaches the weights; or skip that minibatch."""
    optimizer: Optimizer = "adam"
    """adam; or muon: Muon for the 2-D weights, and Adam for the rest."""
    adam_beta1: float = 0.9
    """Decay of Adam's running mean of the gradient."""
    adam_beta2: float = 0.999
    """Decay of Adam's running mean of the squared gradient."""
    adam_eps: float = 1e-5
    """Added to Adam's denominator."""
    advantage: Advantage = "gae"
    """gae; or vtrace: advantages computed anew for each epoch, with clipped importance ratios."""
    prio_alpha: float = 0.0
    """Prioritize rows of the rollout by the sum of their absolute advantages to this power; 0: all rows equally."""
    prio_beta: float = 0.2
    """How much of the bias of prio_alpha is corrected at the start of the run; it rises with prio_alpha."""
    vtrace_rho_clip: float = 1.0
    """Largest importance ratio of a temporal difference, for vtrace."""
    vtrace_c_clip: float = 1.0
    """Largest importance ratio carried back one step, for vtrace."""
    normalize_observations: bool = False
    """Shift and scale observations by their running mean and standard deviation; of Dicts and Tuples, the numbers."""
    normalize_returns: bool = True
    """Divide rewards by the running standard deviation of the discounted return."""
    target_return: float | None = None
    """Stop as soon as the mean return of the last 100 episodes reaches this."""
    self_play: bool = False
    """With several agents: also play against earlier versions of the policy, and rate them."""
    self_play_interval: int = 500_000
    """Steps between two opponents that are kept."""
    self_play_pool: int = 8
    """Maximum number of opponents, the newest."""
    self_play_share: float = 0.5
    """Part of the games in which an opponent sits in one of the seats."""
    seed: int = 1
    """Seed of weights, action sampling, minibatches and environments."""
    device: str = "cpu"
    """Device of the policy: cpu, cuda, cuda:1, mps."""
    learner: LearnerName = "auto"
    """What learns from minibatches: torch; compiled, faster, for MLPs with discrete actions on the CPU; or auto:
    compiled where that can be used."""
    compile: Compile = "off"
    """Compile the policy by torch.compile, in this mode; the last two capture CUDA graphs. For large networks."""
    precision: Precision = "float32"
    """Precision of the policy's forward pass: bfloat16 is faster on GPUs; weights and losses stay in float32."""
    torch_threads: int = 1
    """Torch's threads on the CPU. Small networks are slower with more than one."""
    checkpoint_interval: int | None = None
    """Steps between two checkpoints; None: one every two minutes; 0: only at the end and when interrupted."""
    keep_checkpoints: int = 3
    """Newest of these checkpoints that are kept, besides the best one; 0: all. Those that are asked for always stay."""
    data_dir: str = "runs"
    """Folder of checkpoints and logs: data_dir/ENVIRONMENT/RUN."""

    def validate(self) -> None:
        """Raise `APIUsageError` naming the first field whose value cannot be used."""
        _check_types(self, "train")
        for name in ("total_timesteps", "horizon", "update_epochs", "num_minibatches", "torch_threads"):
            _check(self, "train", name, "at least 1", lambda v: v >= 1)
        for name in ("self_play_interval", "self_play_pool"):
            _check(self, "train", name, "at least 1", lambda v: v >= 1)
        for name in ("gamma", "gae_lambda", "self_play_share", "prio_alpha", "prio_beta"):
            _check(self, "train", name, "0 to 1", lambda v: 0 <= v <= 1)
        for name in ("adam_beta1", "adam_beta2"):
            _check(self, "train", name, "at least 0 and below 1", lambda v: 0 <= v < 1)
        for name in ("learning_rate", "clip_coef", "vf_clip_coef", "adam_eps", "vtrace_rho_clip", "vtrace_c_clip"):
            _check(self, "train", name, "above 0", lambda v: v > 0)
        for name in ("ent_coef", "vf_coef", "max_grad_norm", "keep_checkpoints", "seed"):
            _check(self, "train", name, "at least 0", lambda v: v >= 0)
        _check(self, "train", "checkpoint_interval", "at least 0, or None", lambda v: v is None or v >= 0)
        _check(self, "train", "target_kl", "above 0, or None", lambda v: v is None or v > 0)


@dataclass
class EnvConfig:
    """The environments to learn from."""

    num_envs: int = 64
    """Copies of the environment, stepped together."""
    params: dict[str, Any] = field(default_factory=dict)
    """Parameters of the environment, by name."""

    def validate(self) -> None:
        """Raise `APIUsageError` naming the first field whose value cannot be used."""
        _check_types(self, "env")
        _check(self, "env", "num_envs", "at least 1", lambda v: v >= 1)


@dataclass
class VecConfig:
    """How the environments are stepped."""

    backend: Backend = "auto"
    """Where environments run: native (threads; for compiled environments), serial (in this process), multiprocessing
    (on this machine) or ray (in a cluster); auto: native for compiled environments, else multiprocessing."""
    num_threads: int | None = None
    """Threads that step the environments; None: as many as Numba is set to use."""
    num_workers: int | None = None
    """Processes that step environments which are not compiled; None: one for each core."""
    batch_size: int | None = None
    """Environments that the policy acts for at a time while the others step; None: all."""
    overlap: bool = False
    """Step one half of compiled environments while the policy acts for the other."""
    checked_steps: int | None = 16
    """Observations of a wrapped environment to compare with its space at first, and some later; 0: none; None: all."""
    strict: bool = False
    """Stop where an observation of a wrapped environment is outside of its space, instead of a warning."""
    text_length: int | None = None
    """Letters for each text in observations; None: as its space says, 256 where that accepts anything."""
    info_masks: bool | None = None
    """Take action masks from the infos of a wrapped environment; None: of OpenSpiel's games."""

    def validate(self) -> None:
        """Raise `APIUsageError` naming the first field whose value cannot be used."""
        _check_types(self, "vec")
        _check(self, "vec", "num_threads", "at least 1, or None", lambda v: v is None or v >= 1)
        _check(self, "vec", "num_workers", "at least 1, or None", lambda v: v is None or v >= 1)
        _check(self, "vec", "batch_size", "at least 1, or None", lambda v: v is None or v >= 1)
        _check(self, "vec", "checked_steps", "at least 0, or None", lambda v: v is None or v >= 0)
        _check(self, "vec", "text_length", "at least 1, or None", lambda v: v is None or v >= 1)


@dataclass
class PolicyConfig:
    """The network."""

    name: PolicyName = None
    """A policy of your own: my_module:MyPolicy or my_file.py:MyPolicy, a torch module that is made as MyPolicy(env). Of
    the settings below, lstm and from are for it too."""
    hidden_size: int = 64
    """Units of each hidden layer."""
    num_layers: int = 2
    """Hidden layers."""
    shared: bool = True
    """One trunk for policy and value, which is almost twice as fast as one for each."""
    activation: Activation = "relu"
    """Between the layers: relu, tanh or gelu; on the CPU relu is several times faster than the others."""
    cnn: Convolution = "auto"
    """Convolutions before the hidden layers: small (for grids), nature, impala or none; auto: nature for uint8 images
    of at least 36 x 36 pixels."""
    lstm: bool = False
    """An LSTM between the hidden layers and the outputs; needs shared."""
    log_std: float = 0.0
    """Logarithm of the standard deviation of continuous actions at the start; above 1, most end up at the bounds."""
    state_dependent_std: bool = False
    """The network outputs the standard deviation of continuous actions too; otherwise it is a parameter."""
    squash: bool = False
    """Squash continuous actions into their bounds with tanh instead of clipping them."""
    from_: PolicySource = None
    """Begin with the weights of this checkpoint, of this environment or another one with the same spaces; its settings
    of the policy are then the defaults."""

    def validate(self) -> None:
        """Raise `APIUsageError` naming the first field whose value cannot be used."""
        _check_types(self, "policy")
        for name in ("hidden_size", "num_layers"):
            _check(self, "policy", name, "at least 1", lambda v: v >= 1)
        _check(self, "policy", "lstm", "False, where policy.shared is off", lambda v: self.shared or not v)


@dataclass
class EvalConfig:
    """Evaluations of the policy while it is trained, in environments of their own."""

    every: int = 0
    """Steps between two evaluations; 0: none. The best policy by them is kept: --checkpoint best."""
    episodes: int = 20
    """Episodes of each."""
    deterministic: bool = False
    """Take the greedy action instead of sampling one."""
    target_return: float | None = None
    """Stop as soon as the mean return of an evaluation reaches this."""
    video: bool = False
    """Record the first episode of each into the folder videos of the run: as MP4, or GIF without imageio-ffmpeg."""
    seed: int = 0
    """Of their environments and actions, the same each time."""

    def validate(self) -> None:
        """Raise `APIUsageError` naming the first field whose value cannot be used."""
        _check_types(self, "eval")
        _check(self, "eval", "episodes", "at least 1", lambda v: v >= 1)
        for name in ("every", "seed"):
            _check(self, "eval", name, "at least 0", lambda v: v >= 0)


@dataclass
class LogConfig:
    """Where the run's metrics go, besides the dashboard and metrics.csv."""

    interval: float = 0.25
    """Seconds between two updates of the dashboard, and at most between two of the logs."""
    points: int = 20
    """Updates of the logs in the whole run, after as many rollouts each, besides those by time; 0: by time alone."""
    tensorboard: bool = True
    """Write TensorBoard events into the run's folder."""
    jsonl: bool = False
    """Write metrics.jsonl into the run's folder: one JSON object for each update."""
    wandb: bool = False
    """Log to Weights & Biases; WANDB_MODE=offline writes into the run's folder only."""
    wandb_project: str | None = None
    """Project of Weights & Biases; None: that of the variable WANDB_PROJECT, or puffer_numba."""
    wandb_group: str | None = None
    """Group of runs, in Weights & Biases."""
    tag: str | None = None
    """Tag of the run, in Weights & Biases."""

    def validate(self) -> None:
        """Raise `APIUsageError` naming the first field whose value cannot be used."""
        _check_types(self, "log")
        _check(self, "log", "interval", "at least 0", lambda v: v >= 0)
        _check(self, "log", "points", "at least 0", lambda v: v >= 0)


@dataclass
class SweepConfig:
    """A search for the settings that learn best in a given time; see docs/sweep.md."""

    trials: int = 50
    """Total number of trials of the study, over all processes and machines."""
    seconds: float = 30.0
    """Training time of each trial; compilation does not count."""
    steps: int | None = None
    """Maximum number of steps of each trial; in a sweep, this replaces train.total_timesteps."""
    workers: int = 1
    """Processes on this machine, each of which trains one trial at a time."""
    study: str = "sweep"
    """Name of the study; the same name and storage continue it."""
    storage: str | None = None
    """URL of a database, or journal:FILE on a shared disk; by default SQLite, in data_dir/ENVIRONMENT/sweep.db."""
    pruner: Pruner = "median"
    """Stops unpromising trials early: median, hyperband or none."""
    space: tuple[str, ...] = ()
    """What to search: NAME=RANGE, or NAME alone for its usual range, or default for the usual ranges of all
    that are not given. RANGE is uniform:LOW:HIGH, log:LOW:HIGH, reverse-log:LOW:HIGH, int:LOW:HIGH, power2:LOW:HIGH
    or choice:A:B."""
    sampler_seed: int | None = None
    """Seed of the samples from the search space; None: fresh entropy. Trials train with train.seed."""

    def validate(self) -> None:
        """Raise `APIUsageError` naming the first field whose value cannot be used."""
        _check_types(self, "sweep")
        for name in ("trials", "workers"):
            _check(self, "sweep", name, "at least 1", lambda v: v >= 1)
        _check(self, "sweep", "seconds", "above 0", lambda v: v > 0)
        _check(self, "sweep", "steps", "at least 1, or None", lambda v: v is None or v >= 1)
        _check(self, "sweep", "sampler_seed", "at least 0, or None", lambda v: v is None or v >= 0)
        _check(self, "sweep", "study", "letters, digits, '_', '-' and '.'", lambda v: re.fullmatch(r"\w[\w.-]*", v))


@dataclass
class Config:
    """A whole training run."""

    env_name: str = ""
    """Name of the environment in the registry."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """The algorithm and the run."""
    env: EnvConfig = field(default_factory=EnvConfig)
    """The environments."""
    vec: VecConfig = field(default_factory=VecConfig)
    """How they are stepped."""
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    """The network."""
    eval: EvalConfig = field(default_factory=EvalConfig)
    """Evaluations while training."""
    log: LogConfig = field(default_factory=LogConfig)
    """Where metrics go."""

    def validate(self) -> None:
        """Raise `APIUsageError` naming the first field whose value cannot be used."""
        for name in SECTIONS:
            getattr(self, name).validate()

    def update(self, overrides: Mapping[str, Any]) -> Config:
        """Set dotted names (``train.gamma``, ``env.gravity``) in place, and return self.

        Names under ``env.`` that are not fields of `EnvConfig` become parameters of the environment.

        Raises:
            APIUsageError: no such field; the message has close matches.
        """
        for name, value in overrides.items():
            section_name, _, key = name.partition(".")
            section = getattr(self, section_name, None) if key else None
            if not dataclasses.is_dataclass(section):
                raise APIUsageError(unknown_setting(name, setting_names()))
            key = f"{key}_" if f"{key}_" in _field_names(section) else key
            if key in _field_names(section) and not (section_name == "env" and key == "params"):
                setattr(section, key, value)
            elif section_name == "env":
                self.env.params[key] = value
            else:
                raise APIUsageError(unknown_setting(name, setting_names()))
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dictionaries, as JSON holds them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Config:
        """The inverse of `to_dict`. Settings that have been removed (`REMOVED`) are left out.

        Raises:
            APIUsageError: the data has a field that this version does not know, or lacks a section.
        """
        try:
            data = {"eval": {}, **data}  # which earlier versions had not
            return cls(data["env_name"], **{name: kind(**_kept(name, data[name])) for name, kind in SECTIONS.items()})
        except (KeyError, TypeError) as error:
            raise APIUsageError(f"not a configuration of this version: {error}.") from error


def _kept(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if f"{section}.{name}" not in REMOVED}


SECTIONS: dict[str, type[Any]] = {
    "train": TrainConfig,
    "env": EnvConfig,
    "vec": VecConfig,
    "policy": PolicyConfig,
    "eval": EvalConfig,
    "log": LogConfig,
}


_NEPTUNE = "Neptune's service ended on March 5, 2026; log.wandb, log.jsonl and log.tensorboard take the same metrics."
REMOVED = {"log.neptune": _NEPTUNE, "log.neptune_project": _NEPTUNE}
"""What to say of settings that there were once, by their dotted names."""


def setting_names() -> list[str]:
    """Every dotted name that `Config.update` knows."""
    return [
        f"{section}.{name.rstrip('_')}"
        for section, kind in SECTIONS.items()
        for name in _field_names(kind)
        if (section, name) != ("env", "params")
    ]


def _field_names(section: Any) -> list[str]:
    return [f.name for f in dataclasses.fields(section)]


def unknown_setting(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is none of the ``known`` ones."""
    if name in REMOVED:
        return f"{name}: {REMOVED[name]}"
    known = list(known)
    close = close_matches(name, known)
    return f"unknown setting {name!r}; " + (
        f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}."
    )


def _check(section: Any, prefix: str, name: str, allowed: str, test: Callable[[Any], object]) -> None:
    value = getattr(section, name)
    if not test(value):
        raise APIUsageError(f"{prefix}.{name} is {value!r}; allowed: {allowed}.")


_KINDS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "int": ("an integer", lambda v: type(v) is int),
    "float": (
        "a finite number",
        lambda v: type(v) in (int, float) and math.isfinite(v),
    ),
    "bool": ("True or False", lambda v: isinstance(v, bool)),
    "str": ("a string", lambda v: isinstance(v, str)),
    "dict[str, Any]": ("a dictionary", lambda v: isinstance(v, dict)),
    "tuple[str, ...]": ("a tuple of strings", lambda v: isinstance(v, tuple) and all(isinstance(x, str) for x in v)),
}
_ALIASES = dict.fromkeys(("PolicySource", "PolicyName"), "str | None")
_CHOICES = {
    "Optimizer": Optimizer,
    "Advantage": Advantage,
    "Activation": Activation,
    "Convolution": Convolution,
    "Pruner": Pruner,
    "NonFinite": NonFinite,
    "Backend": Backend,
    "Precision": Precision,
    "Compile": Compile,
    "LearnerName": LearnerName,
}


def _check_types(section: Any, prefix: str) -> None:
    """Each field against its annotation; these are strings here, as the module postpones them."""
    for f in dataclasses.fields(section):
        annotation = str(f.type)
        if annotation in _CHOICES:
            choices = get_args(_CHOICES[annotation])
            _check(section, prefix, f.name, " or ".join(choices), choices.__contains__)
            continue
        kind, _, optional = _ALIASES.get(annotation, annotation).partition(" | ")
        allowed, test = _KINDS[kind]
        if not (optional and getattr(section, f.name) is None):
            _check(section, prefix, f.name, allowed, test)
