"""What the program has registered, for processes in which its scripts and imports have not run.

A worker imports Gymnasium and this library, so it knows their environments. It is told of those of ``import minigrid``,
of a notebook, or of ``gymnasium.register("Mine-v0", entry_point="__main__:Mine")``, and of the settings that the
program has changed. Nothing is imported before an environment is made.
"""

from __future__ import annotations

import copy
import pickle
import sys
import warnings
from typing import Any, NoReturn

import cloudpickle
import gymnasium
from gymnasium.envs.registration import EnvSpec as GymSpec

from puffer_numba import registry
from puffer_numba.errors import APIUsageError


def dumps() -> bytes:
    """The registered environments of this process that another may not know."""
    ours = list(registry.registered())
    others = [spec for spec in gymnasium.registry.values() if not str(spec.entry_point).startswith("puffer_numba.")]
    return pickle.dumps([*_pickled(ours), *_pickled([_by_value(spec) for spec in others])])


def loads(pickled: bytes) -> None:
    """Register what `dumps` found in another process, in this one."""
    # The package registers its environments once more when it is imported. The parent has said so, where it matters.
    warnings.filterwarnings("ignore", message=".*Overriding environment .* already in registry")
    for name, content in pickle.loads(pickled):
        try:
            spec = pickle.loads(content)
        except Exception as error:
            spec = _unknown(name, f"{type(error).__name__}: {error}")
        if isinstance(spec, registry.EnvSpec):
            registry.register(spec.name, spec.env_class, **spec.defaults)
        else:
            gymnasium.registry[name] = spec


def _pickled(specs: list[Any]) -> list[tuple[str, bytes]]:
    """Each by itself: what cannot be sent, or not be read there, matters only to those who make it."""
    return [(spec.id if isinstance(spec, GymSpec) else spec.name, _dumps(spec)) for spec in specs]


def _dumps(spec: Any) -> bytes:
    try:
        return cloudpickle.dumps(spec)
    except Exception as error:
        return cloudpickle.dumps(_unknown(getattr(spec, "id", spec.name), f"{type(error).__name__}: {error}"))


def _by_value(spec: GymSpec) -> GymSpec:
    """With what makes its environments as it is, also where that is a name in the main script."""
    sent = copy.copy(spec)
    for field in ("entry_point", "vector_entry_point"):
        maker = getattr(spec, field)
        module, _, name = str(maker).partition(":")
        if module == "__main__" and hasattr(sys.modules["__main__"], name):
            maker = getattr(sys.modules["__main__"], name)
        if callable(maker):
            setattr(sent, field, _Pickled(maker))
    return sent


class _Pickled:
    """What makes an environment. Its module is imported when one is made: other packages' may take long."""

    def __init__(self, maker: Any) -> None:
        self._maker = maker

    def __reduce__(self) -> tuple[Any, ...]:
        return _Later, (cloudpickle.dumps(self._maker),)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """An environment."""
        return self._maker(*args, **kwargs)


class _Later:
    """The same in the other process."""

    def __init__(self, pickled: bytes) -> None:
        self._pickled = pickled

    def __reduce__(self) -> tuple[Any, ...]:
        return _Later, (self._pickled,)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """An environment."""
        return pickle.loads(self._pickled)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:  # Gymnasium looks at the metadata of a class
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(pickle.loads(self._pickled), name)


def _unknown(name: str, reason: str) -> GymSpec:
    """In place of a registration that cannot be sent: making it says why."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise APIUsageError(
            f"the registration of {name!r} cannot be sent to a worker process: {reason}. Register it in a module that "
            "the creator imports, or with an entry point that can be pickled."
        )

    return GymSpec(id=name, entry_point=refuse)
