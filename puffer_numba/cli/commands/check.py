"""``puffer check``: look for mistakes in an environment."""

from __future__ import annotations

from dataclasses import dataclass

from puffer_numba.cli.arguments import creator_of, params_of, parse, parse_with_params, take_name, wants_help
from puffer_numba.naming import is_jit


@dataclass
class Check:
    """Look for mistakes in an environment: spaces, resets, leaks, seeding; whether its loop was vectorized, or how it
    is flattened."""


def run(args: list[str]) -> int:
    if wants_help(args):
        parse(Check, "puffer check NAME", args)
    spec, args = take_name("check", args)
    options = parse_with_params(Check, spec, f"puffer check {spec.name}", args)
    params = params_of(spec, options)
    from puffer_numba.checks.emulated import check_python
    from puffer_numba.checks.findings import print_findings
    from puffer_numba.checks.native import check

    creator = creator_of(spec.name)
    if is_jit(creator):
        with creator(num_envs=1, **params) as env:
            findings = check(env)
    else:
        findings = check_python(creator, params)
    print_findings(spec.name, findings)
    problems = sum(finding.level == "problem" for finding in findings)
    print(f"{spec.name}: {problems} problem{'s' * (problems != 1)} in {len(findings)} checks")
    return 1 if problems else 0
