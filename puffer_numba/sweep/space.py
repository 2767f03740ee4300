"""What a sweep samples settings from: ranges by the dotted name of the setting."""

from __future__ import annotations

import ast
import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from puffer_numba.config import Config, setting_names, unknown_setting
from puffer_numba.env import APIUsageError
from puffer_numba.jit import JitEnv
from puffer_numba.naming import load_spec
from puffer_numba.options import env_params

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FORMS = "uniform:LOW:HIGH, log:LOW:HIGH, reverse-log:LOW:HIGH, int:LOW:HIGH, power2:LOW:HIGH or choice:A:B"


class Range(ABC):
    """Values of one setting, and how the sampler sees them.

    The sampler may work on another scale than the setting is on; `label` then says which. Drawn numbers are rounded to
    three significant digits, so that what is printed is what was trained with.
    """

    def label(self, name: str) -> str:
        """What Optuna calls the parameter."""
        return name

    @abstractmethod
    def distribution(self) -> BaseDistribution:
        """Optuna's, on the sampler's scale."""

    @abstractmethod
    def decode(self, sampled: Any) -> Any:
        """The setting, from a value on the sampler's scale."""

    @abstractmethod
    def encode(self, value: Any) -> Any:
        """The nearest value on the sampler's scale to that of a setting."""

    @abstractmethod
    def ends(self) -> tuple[Any, ...]:
        """Values to check, before anything is trained."""


@dataclass(frozen=True)
class _Interval(Range):
    low: float
    high: float

    form: ClassVar[str]

    def __post_init__(self) -> None:
        if not all(isinstance(end, int | float) and math.isfinite(end) for end in (self.low, self.high)):
            raise APIUsageError(f"{self}: expected two finite numbers.")
        if not self.low < self.high:
            raise APIUsageError(f"{self}: the first number must be below the second.")

    def __str__(self) -> str:
        return f"{self.form}:{self.low}:{self.high}"

    def ends(self) -> tuple[Any, ...]:
        return float(self.low), float(self.high)

    def decode(self, sampled: Any) -> Any:
        return self._clip(_three_digits(sampled))

    def encode(self, value: Any) -> Any:
        return self._clip(value)

    def _clip(self, value: Any) -> Any:
        return min(max(value, self.low), self.high)


class Uniform(_Interval):
    """Any number from ``low`` to ``high``."""

    form = "uniform"

    def distribution(self) -> BaseDistribution:
        return _optuna_distributions().FloatDistribution(self.low, self.high)


class LogUniform(_Interval):
    """Any number from ``low``, above 0, to ``high``, with equal chances for each order of magnitude."""

    form = "log"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise APIUsageError(f"{self}: expected numbers above 0.")

    def distribution(self) -> BaseDistribution:
        return _optuna_distributions().FloatDistribution(self.low, self.high, log=True)


class ReverseLogUniform(_Interval):
    """Any number from ``low`` to ``high``, below 1, whose distance to 1 is log-uniform: for discounts."""

    form = "reverse-log"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.high >= 1:
            raise APIUsageError(f"{self}: expected numbers below 1.")

    def label(self, name: str) -> str:
        return f"1 - {name}"

    def distribution(self) -> BaseDistribution:
        return _optuna_distributions().FloatDistribution(*self._distances, log=True)

    def decode(self, sampled: Any) -> Any:
        return self._clip(round(1 - _three_digits(sampled), 12))

    def encode(self, value: Any) -> Any:
        nearest, farthest = self._distances
        return min(max(1 - value, nearest), farthest)

    @property
    def _distances(self) -> tuple[float, float]:
        return round(1 - self.high, 12), round(1 - self.low, 12)


class IntUniform(_Interval):
    """Any integer from ``low`` to ``high``, both included."""

    form = "int"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.low, int) and isinstance(self.high, int)):
            raise APIUsageError(f"{self}: expected integers.")

    def distribution(self) -> BaseDistribution:
        return _optuna_distributions().IntDistribution(int(self.low), int(self.high))

    def decode(self, sampled: Any) -> Any:
        return sampled

    def ends(self) -> tuple[Any, ...]:
        return self.low, self.high


class PowerOfTwo(IntUniform):
    """``low``, 2 ``low``, 4 ``low`` ... ``high``; both are powers of two."""

    form = "power2"

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(end < 1 or int(end).bit_count() != 1 for end in (self.low, self.high)):
            raise APIUsageError(f"{self}: expected powers of two, such as 16 and 256.")

    def label(self, name: str) -> str:
        return f"log2({name})"

    def distribution(self) -> BaseDistribution:
        return _optuna_distributions().IntDistribution(int(self.low).bit_length() - 1, int(self.high).bit_length() - 1)

    def decode(self, sampled: Any) -> Any:
        return 2**sampled

    def encode(self, value: Any) -> Any:
        return round(math.log2(self._clip(value)))


class Choice(Range):
    """One of some values: numbers, strings, True, False or None."""

    def __init__(self, *values: bool | int | float | str | None) -> None:
        self.values = values
        if len(values) < 2:
            raise APIUsageError(f"{self}: expected at least two values.")

    def __repr__(self) -> str:
        return f"Choice({', '.join(map(repr, self.values))})"

    def __str__(self) -> str:
        return ":".join(["choice", *map(str, self.values)])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Choice) and self.values == other.values

    def __hash__(self) -> int:
        return hash(self.values)

    def distribution(self) -> BaseDistribution:
        return _optuna_distributions().CategoricalDistribution(self.values)

    def decode(self, sampled: Any) -> Any:
        return sampled

    def encode(self, value: Any) -> Any:
        return value if value in self.values else self.values[0]

    def ends(self) -> tuple[Any, ...]:
        return self.values


Space = Mapping[str, Range]
"""Ranges by the dotted name of the setting: ``{"train.learning_rate": LogUniform(1e-4, 1e-2)}``."""


def default_space(config: Config) -> dict[str, Range]:
    """Ranges of the settings of PPO that matter, then those of the class's ``sweep_space``.

    Numbers of environments are around that of ``config``, as it depends on the environment which make sense.
    """
    num_envs = 2 ** round(math.log2(config.env.num_envs))
    usual: dict[str, Range] = {
        "train.learning_rate": LogUniform(1e-4, 3e-2),
        "train.gamma": ReverseLogUniform(0.9, 0.9995),
        "train.gae_lambda": ReverseLogUniform(0.8, 0.995),
        "train.ent_coef": LogUniform(1e-4, 0.1),
        "train.vf_coef": LogUniform(0.1, 4.0),
        "train.clip_coef": Uniform(0.1, 0.4),
        "train.max_grad_norm": LogUniform(0.2, 5.0),
        "train.horizon": PowerOfTwo(16, 256),
        "train.num_minibatches": PowerOfTwo(1, 32),
        "train.update_epochs": IntUniform(1, 8),
        "env.num_envs": PowerOfTwo(max(1, num_envs // 4), num_envs * 4),
        "policy.hidden_size": PowerOfTwo(32, 256),
    }
    return usual | dict(getattr(load_spec(config.env_name).env_class, "sweep_space", {}))


def parse_space(texts: Iterable[str], default: Space, fixed: Collection[str] = ()) -> dict[str, Range]:
    """A space from what was typed.

    Args:
        texts: ``NAME=RANGE``; ``NAME``, which has its range in ``default``; or ``default``: all of it but ``fixed``.
        default: ranges of settings that are not given one.
        fixed: settings that are not searched unless they are named.

    Raises:
        APIUsageError: a text that is none of these.
    """
    space: dict[str, Range] = {}
    for text in texts:
        name, equals, written = text.partition("=")
        name = name.replace("-", "_")
        if equals:
            space[name] = parse_range(name, written)
        elif name == "default":
            space |= {name: values for name, values in default.items() if name not in fixed}
        elif name in default:
            space[name] = default[name]
        elif name in setting_names():
            raise APIUsageError(f"{name} has no range of its own; expected {name}=RANGE, where RANGE is {FORMS}.")
        else:
            raise APIUsageError(unknown_setting(name, ["default", *setting_names()]))
    return space


def parse_range(name: str, text: str) -> Range:
    """A range of the setting ``name``, from what was typed: ``log:1e-4:1e-2``.

    Raises:
        APIUsageError: it is not written like that.
    """
    form, *written = text.split(":")
    values = [_literal(word) for word in written]
    try:
        if form == "choice":
            return Choice(*values)
        return _INTERVALS[form](*values)
    except (KeyError, TypeError):
        raise APIUsageError(f"the range of {name} is {text!r}; expected {FORMS}.") from None
    except APIUsageError as error:
        raise APIUsageError(f"the range of {name} is {error}") from None


def check_space(space: Space, config: Config) -> None:
    """Raise `APIUsageError` where a name or a value in ``space`` cannot be used with ``config``."""
    spec = load_spec(config.env_name)
    if not space:
        raise APIUsageError("the search space is empty: there is nothing to search.")
    known = [*setting_names(), *(f"env.{name}" for name in env_params(spec))]
    for name, values in space.items():
        is_param = name.startswith("env.") and not issubclass(spec.env_class, JitEnv)  # which we cannot know
        if name not in known and not is_param:
            raise APIUsageError(unknown_setting(name, known))
        if not isinstance(values, Range):
            raise APIUsageError(f"the range of {name} is {values!r}; expected one such as LogUniform(1e-4, 1e-2).")
        for value in values.ends():
            Config.from_dict(config.to_dict()).update({name: value}).validate()


_INTERVALS: dict[str, type[_Interval]] = {
    cls.form: cls for cls in (Uniform, LogUniform, ReverseLogUniform, IntUniform, PowerOfTwo)
}


def _optuna_distributions() -> Any:
    from optuna import distributions

    return distributions


def _literal(word: str) -> Any:
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError):
        return word


def _three_digits(value: float) -> float:
    return float(f"{value:.3g}")
