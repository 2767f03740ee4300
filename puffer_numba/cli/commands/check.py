"""``puffer check``: look for mistakes in an environment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from puffer_numba.cli.arguments import creator_of, parse, take_name, wants_help
from puffer_numba.naming import is_jit


@dataclass
class Check:
    """Look for mistakes in an environment: spaces, resets, leaks, seeding; whether its loop was vectorized, or how it
    is flattened."""

    name: Annotated[str, tyro.conf.Positional]
    """Name of the environment."""


def run(args: list[str]) -> int:
    if not wants_help(args):
        take_name("check", args)
    options = parse(Check, "puffer check", args)
    from puffer_numba.checks.emulated import check_python
    from puffer_numba.checks.findings import print_findings
    from puffer_numba.checks.native import check

    creator = creator_of(options.name)
    if is_jit(creator):
        with creator(num_envs=1) as env:
            findings = check(env)
    else:
        findings = check_python(creator)
    print_findings(options.name, findings)
    problems = sum(finding.level == "problem" for finding in findings)
    print(f"{options.name}: {problems} problem{'s' * (problems != 1)} in {len(findings)} checks")
    return 1 if problems else 0
