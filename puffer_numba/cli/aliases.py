"""Options under other names: those of PufferLib's commands, and of the other commands of this library."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from puffer_numba.config import REMOVED
from puffer_numba.errors import APIUsageError

SAME = (
    ("--train.total-timesteps", "--timesteps", "--total-timesteps"),
    ("--train.learning-rate", "--lr", "--learning-rate"),
    ("--train.horizon", "--train.bptt-horizon"),
    ("--train.prio-beta", "--train.prio-beta0"),
    ("--train.seed", "--seed", "--vec.seed"),
    ("--train.data-dir", "--data-dir"),
    ("--train.device", "--device"),
    ("--env.num-envs", "--num-envs", "--vec.num-envs"),
    ("--resume", "--checkpoint", "--load-model-path"),
    ("--log.wandb", "--wandb"),
    ("--log.wandb-project", "--wandb-project"),
    ("--log.wandb-group", "--wandb-group"),
    ("--log.tag", "--tag"),
    ("--sweep.trials", "--trials", "--max-runs"),
    ("--sweep.seconds", "--seconds"),
    ("--eval.episodes", "--episodes"),
    ("--eval.deterministic", "--deterministic"),
    ("--gif", "--gif-path"),
    ("--out", "--output"),
)
"""Names of one option in each line: a command that has any of them takes them all."""

VALUES = {
    "--vec.backend": {
        "PufferEnv": "native", "Serial": "serial", "Multiprocessing": "multiprocessing", "Ray": "ray",
    },
    "--vec.num-workers": {"auto": "None"},
    "--vec.batch-size": {"auto": "None"},
    "--render-mode": {"auto": "None", "rgb_array": "None", "raylib": "human"},
}  # fmt: skip
"""Values under other names, by the option that takes them."""

REFUSED = {
    **{f"--{name.replace('_', '-')}": reason for name, reason in REMOVED.items()},
    **dict.fromkeys(("--neptune", "--neptune-name", "--neptune-project"), REMOVED["log.neptune"]),
    "--load-id": "download the run's checkpoint, and give its folder by --checkpoint.",
    "--save-frames": "--gif FILE records the whole first episode.",
    "--train.minibatch-size": "--train.num-minibatches says into how many minibatches a rollout is split.",
    "--train.batch-size": "a rollout has --train.horizon steps of each of --env.num-envs environments.",
}
"""What to say of options that there are not."""

_GROUPS = {name: names for names in SAME for name in names}
_WORDS = {"true": True, "false": False}


def translate(args: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """A command line with each option under the name, and each value in the form, that the command knows.

    What is known already stays as it is, so that translating twice does no harm.

    Args:
        args: words of the command line.
        options: the command's options: ``{"--train.gamma": float}``, their types by their names.

    Raises:
        APIUsageError: an option is given twice, under two names.
    """
    words: list[str] = []
    given: dict[str, str] = {}
    rest = list(args)
    while rest:
        word = rest.pop(0)
        written, equals, value = word.partition("=")
        name, is_negated = _find(written, options)
        if not name:
            words.append(word)
            continue
        if given.setdefault(name, written) != written:
            raise APIUsageError(f"{given[name]} and {written} are one option, {name}; give one of them.")
        if not equals and rest and _is_value(rest[0], options[name]):
            equals, value = "=", rest.pop(0)
        if not equals or (_is_bool(options[name]) and value.lower() in _WORDS):
            words += _flag(name, options[name], _WORDS.get(value.lower(), True) != is_negated)
        else:
            words += [name, VALUES.get(name, {}).get(value, value)]
    return words


def _find(written: str, options: Mapping[str, Any]) -> tuple[str, bool]:
    """The command's own name of an option, and whether it is negated, ``--log.no-wandb``; "" where it has none."""
    if not written.startswith("--"):
        return "", False
    name = written.replace("_", "-")
    for candidate, is_negated in ((name, False), (re.sub(r"^(--(?:.*\.)?)no-", r"\1", name), True)):
        found = next((same for same in (candidate, *_GROUPS.get(candidate, ())) if same in options), "")
        if found and (not is_negated or _is_bool(options[found])):
            return found, is_negated
    return "", False


def _is_value(word: str, kind: Any) -> bool:
    """Whether ``word``, which follows an option, is its value: after a flag, only True or False are."""
    return word.lower() in (*_WORDS, "none") if _is_bool(kind) else not word.startswith("--")


def _is_bool(kind: Any) -> bool:
    return kind is bool or kind == (bool | None)


def _flag(name: str, kind: Any, is_on: bool) -> list[str]:
    """An option that is on or off, as tyro wants it: with a value only where it may be neither."""
    if kind is not bool and _is_bool(kind):
        return [name, str(is_on)]
    section, dot, key = name.removeprefix("--").rpartition(".")
    return [name if is_on else f"--{section}{dot}no-{key}"]


def help_text() -> str:
    """The table of other names, for people."""
    lines = [f"  {names[0]:26}{', '.join(names[1:])}" for names in SAME]
    return "\n".join(lines)
