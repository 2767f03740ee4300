"""Command-line options of a training run: its settings, and the parameters of the environment from what makes it."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import textwrap
from collections.abc import Mapping
from typing import Annotated, Any

import tyro

from puffer_numba.config import SECTIONS, Config, EnvConfig
from puffer_numba.errors import APIUsageError
from puffer_numba.jit import JitEnv
from puffer_numba.registry import EnvSpec

KWARGS = "kwargs"
"""The option for arguments that have none of their own."""
_RESERVED = {"self", "num_envs", "seed", "buf", "jit", "autoreset", "first_env", "dtype", "render_mode", KWARGS}
_SIMPLE = (bool, int, float, str)
_EXAMPLE = """'{"map_name": "8x8"}'."""


def env_params(spec: EnvSpec) -> dict[str, Any]:
    """Parameters that can be typed on a command line, with their defaults: numbers, booleans and strings."""
    if spec.arguments:
        return {
            n: p.default for n, p in spec.arguments.items() if n not in _RESERVED and isinstance(p.default, _SIMPLE)
        }
    params: dict[str, Any] = dict(getattr(getattr(spec.env_class, "Params", None), "_field_defaults", {}))
    for name, parameter in inspect.signature(spec.env_class.__init__).parameters.items():
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            params[name] = parameter.default
    if issubclass(spec.env_class, JitEnv):
        params["max_episode_steps"] = spec.env_class.max_episode_steps
    params.update(spec.defaults)
    return {name: value for name, value in params.items() if name not in _RESERVED and isinstance(value, _SIMPLE)}


def _written_params(spec: EnvSpec) -> list[str]:
    """Arguments of other libraries' environments whose type is not known, to be written as in Python or JSON."""
    return [n for n, p in spec.arguments.items() if n not in _RESERVED and not isinstance(p.default, _SIMPLE)]


def env_options(spec: EnvSpec, config: EnvConfig | None, sized: bool = True) -> type[Any]:
    """A dataclass with an option for each parameter of the environment, at its value in ``config`` by default.

    Args:
        spec: the environment.
        config: present values, which become the defaults; None gives options that default to None, without
            ``num_envs``: for a command that otherwise takes its values from a checkpoint.
        sized: False leaves out ``num_envs``.
    """
    params = env_params(spec)
    helps = _field_docs(getattr(spec.env_class, "Params", None))
    fields: list[tuple[str, Any, Any]] = []
    if config is not None and sized:
        number = "Copies of the environment, stepped together."
        fields.append(("num_envs", Annotated[int, tyro.conf.arg(help=number)], config.num_envs))
    for name, value in params.items():
        kind: Any = _kind(spec, name, value)
        hint = "(default: as the checkpoint was trained)" if config is None else None
        text = tyro.conf.arg(help=helps.get(name, f"Parameter of {spec.name}."), help_behavior_hint=hint)
        if config is None:
            fields.append((name, Annotated[kind | None, text], None))
        else:
            fields.append((name, Annotated[kind, text], config.params.get(name, value)))
    if not issubclass(spec.env_class, JitEnv):
        fields += [
            (name, Annotated[str | None, tyro.conf.arg(help=_about(spec, name))], None)
            for name in _written_params(spec)
        ]
        fields.append((KWARGS, Annotated[str | None, tyro.conf.arg(help=_KWARGS_HELP)], None))
    cls = dataclasses.make_dataclass(
        "EnvOptions", [(name, kind, dataclasses.field(default=default)) for name, kind, default in fields]
    )
    cls.__doc__ = f"Parameters of {spec.name}."
    return cls


_KWARGS_HELP = f"Other arguments, as JSON: {_EXAMPLE}"


def _about(spec: EnvSpec, name: str) -> str:
    default = spec.arguments[name].default
    has_none = default is None or default is inspect.Parameter.empty
    return f"Parameter of {spec.name}" + ("." if has_none else f"; by default {default}.")


def _kind(spec: EnvSpec, name: str, value: Any) -> Any:
    """The type of a parameter: of another library's integer perhaps a real number."""
    annotation = spec.arguments[name].annotation if name in spec.arguments else int
    return int | float if type(value) is int and annotation not in (int, "int") else type(value)


def with_params(cls: type[Any], spec: EnvSpec, config: EnvConfig | None) -> type[Any]:
    """The dataclass ``cls`` of a command's options, and with them ``env``, the parameters as `env_options` has them."""
    params = env_options(spec, config, sized=False)
    options = dataclasses.make_dataclass(
        f"{cls.__name__}Options", [("env", params, dataclasses.field(default_factory=params))], bases=(cls,)
    )
    options.__doc__ = cls.__doc__
    return options


def option_words(settings: Mapping[str, Any]) -> list[str]:
    """Settings by dotted name, ``{"env.gravity": 1.6}``, as words of a command line."""
    words: list[str] = []
    others = {name: value for name, value in settings.items() if isinstance(value, list | tuple | dict)}
    if others:
        words += [f"--env.{KWARGS}", json.dumps({name.removeprefix("env."): value for name, value in others.items()})]
    for name, value in settings.items():
        section, key = name.rstrip("_").replace("_", "-").split(".", 1)
        if name in others:
            continue
        if isinstance(value, bool):
            words.append(f"--{section}.{'' if value else 'no-'}{key}")
        else:
            words += [f"--{section}.{key}", str(value)]
    return words


def chosen_params(spec: EnvSpec, options: Any, config: EnvConfig | None) -> dict[str, Any]:
    """The parameters that ``options`` set to something else than the environment does by itself.

    Parameters of ``config`` that no option can express, such as arrays, are kept.
    """
    values = {name: getattr(options, name) for name in env_params(spec)}
    others = _other_params(spec, options)
    if config is None:
        return others | {name: value for name, value in values.items() if value is not None}
    kept = {name: value for name, value in config.params.items() if name not in values}
    return kept | others | {name: value for name, value in values.items() if value != env_params(spec)[name]}


def _other_params(spec: EnvSpec, options: Any) -> dict[str, Any]:
    """Arguments that were written as Python or JSON, and those of ``--env.kwargs``."""
    text = getattr(options, KWARGS, None)
    try:
        given = {} if text is None else json.loads(text)
    except ValueError as error:
        raise APIUsageError(
            f"--env.{KWARGS} is {text!r}, which is no JSON: {error}. For example: {_EXAMPLE}"
        ) from error
    if not isinstance(given, dict):
        raise APIUsageError(f"--env.{KWARGS} is {text!r}; expected a JSON object, such as {_EXAMPLE}")
    written = {name: getattr(options, name) for name in _written_params(spec)}
    return given | {name: _literal(value) for name, value in written.items() if value is not None}


def _literal(text: str) -> Any:
    """What ``text`` is in JSON or Python; of neither, the text."""
    for read in (json.loads, ast.literal_eval):
        try:
            return read(text)
        except (ValueError, SyntaxError):
            continue
    return text


def run_options(spec: EnvSpec, config: Config, doc: str, *others: tuple[str, Any, Any]) -> type[Any]:
    """A dataclass with the options of a training run of ``spec``, at their values in ``config`` by default.

    Args:
        spec: the environment.
        config: present values, which become the defaults.
        doc: what the command does, for its help.
        *others: more fields of the dataclass: name, type and `dataclasses.field`.
    """
    fields: list[tuple[str, Any, Any]] = []
    for name, cls in SECTIONS.items():
        if name == "env":
            env_class = env_options(spec, config.env)
            fields.append((name, env_class, dataclasses.field(default_factory=env_class)))
        else:
            fields.append((name, cls, _copied(getattr(config, name))))
    options = dataclasses.make_dataclass("RunOptions", [*fields, *others])
    options.__doc__ = doc
    return options


def chosen_config(spec: EnvSpec, options: Any, config: Config) -> Config:
    """The configuration that ``options``, an object of `run_options`, were set to; checked.

    Raises:
        APIUsageError: a value that cannot be used.
    """
    sections = {name: getattr(options, name) for name in SECTIONS if name != "env"}
    env = dataclasses.replace(
        config.env, num_envs=options.env.num_envs, params=chosen_params(spec, options.env, config.env)
    )
    chosen = Config(env_name=config.env_name, env=env, **sections)
    chosen.validate()
    return chosen


def _copied(section: Any) -> Any:
    return dataclasses.field(default_factory=lambda: dataclasses.replace(section))


def _field_docs(cls: type | None) -> dict[str, str]:
    """What is said of each field of a class, by the field's name: the string below it, or the comment behind it."""
    try:
        source = textwrap.dedent(inspect.getsource(cls)) if cls is not None else ""
        body = ast.parse(source).body[0].body if source else []  # type: ignore[attr-defined]
    except (OSError, TypeError, SyntaxError):
        return {}
    lines = source.splitlines()
    found = {}
    for field, below in itertools.pairwise([*body, None]):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            value = getattr(below, "value", None) if isinstance(below, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                found[field.target.id] = " ".join(value.value.split())
            elif field.end_lineno is not None:
                rest = lines[field.end_lineno - 1].encode()[field.end_col_offset :].decode()
                found[field.target.id] = rest.strip().removeprefix("#").strip()
    return {name: text for name, text in found.items() if text}
