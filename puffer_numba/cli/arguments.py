"""Reading command lines: what all commands share.

Why tyro refuses a command line, `parse` learns from ``tyro._errors``, which hands out what is wrong as an object. That
module is private and new (tyro 1.0.14): this file alone leans on it, for `on_parse_error`, four classes of events, and
``display_name()``, ``is_positional()``, ``lowered.metavar`` and ``lowered.help`` of an argument.
``test_tyro_says_what_is_wrong`` fails where a version of tyro changes any of them.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, get_type_hints

import tyro
from tyro import _errors

from puffer_numba import registry, vector
from puffer_numba.cli.aliases import REFUSED, translate
from puffer_numba.config import EnvConfig
from puffer_numba.errors import APIUsageError, close_matches
from puffer_numba.extras import require
from puffer_numba.jit import JitEnv
from puffer_numba.naming import FORMS, load_spec
from puffer_numba.options import KWARGS, chosen_params, with_params

Parsed = TypeVar("Parsed")


def parse(cls: type[Parsed], prog: str, args: Sequence[str]) -> Parsed:
    """`tyro.cli` for a dataclass of options under any of their names; prints help and exits where it is asked to.

    Raises:
        APIUsageError: the arguments cannot be used; one line says which, and why.
        SystemExit: help was printed; or tyro has explained, in its own way, an error of a kind that is unknown here.
    """

    def refuse(event: _errors.ParseErrorEvent) -> None:
        complaint = _complaint(event, cls)
        if complaint:
            raise APIUsageError(f"{complaint} See {prog} --help")

    with _errors.on_parse_error(refuse):
        return tyro.cli(cls, prog=prog, args=translate(args, options_of(cls)))


def _complaint(event: _errors.ParseErrorEvent, cls: type) -> str:
    """What ``event`` says, as one sentence; "" where it is of no kind that is known here."""
    match event:
        case _errors.UnrecognizedArgs():
            return _removed(event.tokens) or _unrecognized(event.tokens, cls)
        case _errors.InstantiationFailure():
            where = f" {event.argument.display_name()}" if event.argument else ""
            return f"Error parsing{where}: {event.message.splitlines()[0].rstrip('.')}."
        case _errors.InvalidChoice():
            choices = ", ".join(event.choices)
            return f"{event.argument.display_name()} is {event.value!r}; allowed: {choices}."
        case _errors.BadValue():
            return f"{event.argument.display_name()} needs a value."
        case _errors.MissingArgs():
            return f"Missing: {' '.join(_described(missing.arg) for missing in event.missing_arguments)}"
    return ""


def _described(argument: Any) -> str:
    """Name and help of an argument."""
    lowered = argument.lowered
    name = lowered.metavar if argument.is_positional() else argument.display_name()
    text = lowered.help() if callable(lowered.help) else lowered.help  # a function where tyro puts off looking it up
    return f"{name} {(text or '').removesuffix('(required)').rstrip(' .')}."


def _removed(tokens: Sequence[str]) -> str:
    """What to say of ``tokens`` where one of them is an option that people know from elsewhere; else ""."""
    names = (token.partition("=")[0].replace("_", "-") for token in tokens)
    return next((f"{name}: {REFUSED[name]}" for name in names if name in REFUSED), "")


def _unrecognized(tokens: Sequence[str], cls: type) -> str:
    """A sentence about unknown ``tokens``, with options of ``cls`` that look alike."""
    known = list(options_of(cls))
    close = [match for token in tokens if token.startswith("--") for match in close_matches(token, known, 0.8)]
    suggestion = f"; did you mean {' or '.join(close[:3])}?" if close else "."
    if f"--env.{KWARGS}" in known and any(token.startswith("--env.") for token in tokens):
        suggestion += f" Other arguments of the environment go into --env.{KWARGS}, as JSON."
    return f"Unrecognized options: {', '.join(tokens)}{suggestion}"


def options_of(cls: type, prefix: str = "--") -> dict[str, Any]:
    """The types of a dataclass's options by their names; fields that are dataclasses themselves are sections."""
    options: dict[str, Any] = {}
    hints = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        name = prefix + field.name.replace("_", "-")
        if dataclasses.is_dataclass(hints[field.name]):
            options |= options_of(hints[field.name], name + ".")
        else:
            options[name] = hints[field.name]
    return options


def take_name(command: str, args: list[str]) -> tuple[registry.EnvSpec, list[str]]:
    """The environment that the first argument names, and the other arguments."""
    if not args or args[0].startswith("-"):
        raise APIUsageError(
            f"puffer {command} needs the name of an environment: {FORMS}. Registered: "
            f"{', '.join(registry.list_envs())}."
        )
    name = args[0]
    _look_here()
    return load_spec(name), args[1:]


def parse_with_params(cls: type[Parsed], spec: registry.EnvSpec, prog: str, args: Sequence[str]) -> Parsed:
    """`parse`, with options for the parameters of the environment, which `params_of` reads."""
    return parse(with_params(cls, spec, EnvConfig()), prog, args)


def params_of(spec: registry.EnvSpec, options: Any) -> dict[str, Any]:
    """The environment's parameters that ``options``, of `parse_with_params`, set; tried out where that takes no time.

    Raises:
        APIUsageError: the environment refuses one.
    """
    params = chosen_params(spec, options.env, EnvConfig())
    if issubclass(spec.env_class, JitEnv):
        try:
            spec.env_class(num_envs=1, jit=False, **{**spec.defaults, **params}).close()
        except (TypeError, ValueError) as error:
            raise APIUsageError(f"cannot make {spec.name}: {error}") from error
    return params


def creator_of(name: str) -> Callable[..., Any]:
    """What makes the environment called ``name``, which may be in a module of the current folder."""
    _look_here()
    return vector.env_creator(name)


def _look_here() -> None:
    """Import from the current folder too, as ``python -m`` does, but not an installed command."""
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)


def wants_help(args: list[str]) -> bool:
    return bool(args) and args[0] in ("-h", "--help")


def require_trainer() -> Any:
    """The module `puffer_numba.pufferl`, once everything it needs is known to be there."""
    for module in ("torch", "safetensors"):
        require(module, "train", "training")
    from puffer_numba import pufferl

    return pufferl


def given_names(args: Sequence[str]) -> set[str]:
    """Dotted names of the settings that ``args`` set, to whatever value."""
    options = (arg.lstrip("-").partition("=")[0].replace("-", "_") for arg in args if arg.startswith("--"))
    return {option.replace(".no_", ".") for option in options if "." in option}
