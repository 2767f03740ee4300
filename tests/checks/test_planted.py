"""Mistakes that people make, planted one by one into an environment that has none: `check` finds each."""

from __future__ import annotations

import ctypes
import random
import re
import time
from typing import Annotated, Any, NamedTuple

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from numpy.typing import NDArray

from puffer_numba import JitEnv, kernel
from puffer_numba.checks.apart import Job, check_apart
from puffer_numba.checks.findings import Finding
from puffer_numba.checks.native import check_here
from puffer_numba.jit.random import integer, uniform

pytestmark = pytest.mark.slow  # together: each compiles a little

SIZE = 5


class Sound(JitEnv):
    """A walk over some cells, towards one that pays. Nothing is wrong with it."""

    max_episode_steps = 20
    single_observation_space: Any = Box(-1, 1, (3,), np.float32)
    single_action_space: Any = Discrete(3)

    class State(NamedTuple):
        at: int
        goal: int
        x: float
        ticks: np.uint8
        visits: Annotated[np.int32, SIZE]
        less: np.uint8
        more: np.uint8

    class Params(NamedTuple):
        worth: NDArray[np.float32] = np.linspace(0, 1, SIZE)
        zero: int = 0

    @kernel
    def reset_env(s, p, i, rng):
        s.goal[i] = integer(rng, SIZE)
        s.x[i] = uniform(rng, -1.0, 1.0)

    @kernel
    def step_env(s, p, i, action, rng):
        s.at[i] = min(max(s.at[i] + action - 1, 0), SIZE - 1)
        s.visits[i, s.at[i]] += 1
        s.ticks[i] += 1
        found = s.at[i] == s.goal[i]
        return p.worth[s.at[i]] if found else -0.1, found

    @kernel
    def observe_env(s, p, i, obs):
        obs[i, 0] = s.at[i] / SIZE
        obs[i, 1] = s.goal[i] / SIZE
        obs[i, 2] = s.x[i]


class Pair(JitEnv):
    """Two agents; each may do what its mask allows. Nothing is wrong with it, either."""

    agents = 2
    max_episode_steps = 10
    single_observation_space: Any = Dict(action_mask=Box(0, 1, (3,), np.int8), last=Box(0, 3, (1,), np.int8))
    single_action_space: Any = Discrete(3)

    class State(NamedTuple):
        last: Annotated[np.int8, 2]
        illegal: Annotated[np.int8, 2]

    @kernel
    def reset_env(s, p, i, rng, team):
        for a in range(2):
            s.illegal[i, a] = integer(rng, 3)

    @kernel
    def step_env(s, p, i, action, rng, team):
        for a in range(2):
            team.reward[i, a] = -1.0 if action[a] == s.illegal[i, a] else 0.5 * action[a]
            s.last[i, a] = action[a] + 1
            s.illegal[i, a] = integer(rng, 3)
        return False

    @kernel
    def observe_env(s, p, i, obs):
        for a in range(2):
            for k in range(3):
                obs[i, a, k] = k != s.illegal[i, a]
            obs[i, a, 3] = s.last[i, a]


def checked(env_class: type[JitEnv], steps: int = 60) -> list[Finding]:
    return list(check_here(Job(env_class, {}, steps, False), plain_steps=60))


def planted(base: type[JitEnv] = Sound, **changed: Any) -> type[JitEnv]:
    members = {n: kernel(v) if callable(v) and n.endswith("_env") else v for n, v in changed.items()}
    return type("Planted", (base,), members)


def wrong(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level != "ok"]


@pytest.mark.parametrize("env_class", [Sound, Pair])
def test_the_environments_they_are_planted_in_are_sound(env_class):
    assert wrong(checked(env_class)) == []


# ------------------------------------------------------------------------------------------------ in plain Python


def goes_too_far_reading(s, p, i, action, rng):
    s.at[i] += 1
    return 0.1 * s.visits[i, s.at[i]], False


def goes_too_far_writing(s, p, i, action, rng):
    s.at[i] += 1
    s.visits[i, s.at[i]] = 1
    return 0.0, False


def goes_below_zero(s, p, i, action, rng):
    s.at[i] += action - 1
    s.visits[i, s.at[i]] = 1
    return 0.0, s.at[i] == 3


def reads_environment_zero(s, p, i, action, rng):
    s.at[i] = action
    return 0.0, s.at[i] == s.goal[0]


def reads_the_next_row(s, p, i, action, rng):
    return s.x[i + 1], False


def writes_the_row_before(s, p, i, action, rng):
    s.x[i - 1] = 0.5
    return 0.0, False


def reads_the_last_row(s, p, i, action, rng):
    return s.x[len(s.x) - 1], False


def reads_all_rows(s, p, i, action, rng):
    return np.mean(s.x), False


def resets_environment_zero(s, p, i, rng):
    s.goal[0] = integer(rng, SIZE)


def resets_too_far(s, p, i, rng):
    for k in range(SIZE + 1):
        s.visits[i, k] = k


def overflows_int32(s, p, i, action, rng):
    s.visits[i, 0] = (s.visits[i, 0] + 1) * 1000
    return 0.0, False


def overflows_uint8(s, p, i, action, rng):
    s.ticks[i] += 100
    return 0.0, False


def underflows_uint8(s, p, i, action, rng):
    s.ticks[i] -= 1
    return 0.0, False


def overflows_float32(s, p, i, action, rng):
    s.x[i] = 1e30 * float(10**9) * (action + 1)
    return 0.0, False


def counts_with_nan(s, p, i, action, rng):
    s.at[i] = np.float32(np.nan)
    return 0.0, False


def leaves_an_element(s, p, i, obs):
    obs[i, 0] = s.at[i] / SIZE
    obs[i, 2] = s.x[i]


def leaves_an_element_at_times(s, p, i, obs):
    obs[i, 0] = s.at[i] / SIZE
    if s.at[i] == 0:
        obs[i, 1] = s.goal[i] / SIZE
    obs[i, 2] = s.x[i]


def leaves_the_bounds(s, p, i, obs):
    obs[i, 0] = s.at[i] / SIZE
    obs[i, 1] = s.ticks[i]
    obs[i, 2] = s.x[i]


def is_nan(s, p, i, obs):
    obs[i, 0] = obs[i, 1] = 0.0
    obs[i, 2] = s.x[i] * np.inf - np.inf


def observes_too_far(s, p, i, obs):
    for k in range(4):
        obs[i, k] = 0.0


def observes_another(s, p, i, obs):
    obs[i - 1, 0] = 0.0


def adds_to_the_last_one(s, p, i, obs):
    obs[i, 0] += 0.01
    obs[i, 1] = obs[i, 2] = 0.0


def writes_params(s, p, i, action, rng):
    p.worth[action] += 0.1
    return 0.0, False


def looks_up_too_far(s, p, i, action, rng):
    return p.worth[SIZE - 1 + action], False


def overflows_in_its_own_array(s, p, i, action, rng):
    counts = np.zeros(2, np.int64)
    counts[action] = 1
    return float(counts[0]), False


def reads_what_was_there(s, p, i, action, rng):
    sums = np.empty(3, np.float32)
    sums[1] = 0.5
    return sums[action], False


def divides_by_zero(s, p, i, action, rng):
    return s.x[i] / (s.x[i] - s.x[i]), False


def pays_too_much(s, p, i, action, rng):
    return 1e39, False


def returns_the_reward_alone(s, p, i, action, rng):
    return 0.5


def returns_a_count(s, p, i, action, rng):
    s.ticks[i] += 2
    return 0.5, s.ticks[i]


def raises_a_type_error(s, p, i, action, rng):
    return s.x[i] + None, False


def divides_by_a_param(s, p, i, action, rng):
    return 1 // p.zero, False


def draws_from_numpy(s, p, i, action, rng):
    return np.random.random(), False  # noqa: NPY002


def draws_from_python(s, p, i, rng):
    s.goal[i] = random.randrange(SIZE)


def tells_the_time(s, p, i, action, rng):
    s.x[i] = time.perf_counter() % 1.0
    return 0.0, False


SEEN: list[int] = []


def remembers(s, p, i, rng):
    SEEN.append(1)
    s.x[i] = (len(SEEN) % 1000) / 1000


def pays_nobody(s, p, i, action, rng, team):
    for a in range(1, 3):
        team.reward[i, a] = 0.5
    return False


def pays_another_team(s, p, i, action, rng, team):
    team.reward[i - 1, 0] = 0.5
    return False


def takes_its_own_actions(s, p, i, action, rng, team):
    action[0] = 1
    return False


def allows_nothing(s, p, i, obs):
    for a in range(2):
        for k in range(3):
            obs[i, a, k] = s.last[i, a] == 0
        obs[i, a, 3] = s.last[i, a]


def fills_images(s, p, i, obs):
    for k in range(3):
        obs[i, k] = 100 * k * (s.at[i] + 1)


SHORT_MASK = Dict(action_mask=Box(0, 1, (2,), np.int8), last=Box(0, 3, (2,), np.int8))

IN_PLAIN_PYTHON: list[tuple[dict[str, Any], str, str]] = [
    ({"step_env": goes_too_far_reading}, "bounds", r"s\.visits\[i, 5\]: index 5 is out of bounds for axis 1 of size 5"),
    ({"step_env": goes_too_far_writing}, "bounds", r"s\.visits\[i, 5\]: index 5 is out of bounds for axis 1 of size 5"),
    ({"step_env": goes_below_zero}, "bounds", r"s\.visits\[i, -1\]: index -1 of axis 1 \(size 5\) was computed"),
    ({"step_env": reads_environment_zero}, "isolation", r"s\.goal\[0\] is the row of environment 0; environment 1 is"),
    ({"step_env": reads_the_next_row}, "isolation", r"s\.x\[1\] is the row of environment 1; environment 0 is not"),
    ({"step_env": writes_the_row_before}, "bounds", r"s\.x\[-1\]: index -1 is out of bounds for axis 0 of size 8; env"),
    ({"step_env": reads_the_last_row}, "isolation", r"s\.x\[7\] is the row of environment 7; environment 0 is not"),
    ({"step_env": reads_all_rows}, "isolation", r"s\.x\.mean takes the rows of all environments"),
    ({"reset_env": resets_environment_zero}, "isolation", r"s\.goal\[0\] is the row of environment 0; environment 1"),
    ({"reset_env": resets_too_far}, "bounds", r"s\.visits\[i, 5\]: index 5 is out of bounds"),
    (
        {"step_env": overflows_int32},
        "overflow",
        r"s\.visits\[i, 0\] = \d{10,} does not fit into int32, which holds -2147",
    ),
    ({"step_env": overflows_uint8}, "overflow", r"s\.ticks\[i\] = 300 does not fit into uint8, which holds 0 to 255"),
    ({"step_env": underflows_uint8}, "overflow", r"s\.ticks\[i\] = -1 does not fit into uint8"),
    ({"step_env": overflows_float32}, "overflow", r"s\.x\[i\] = .*e\+39 does not fit into float32"),
    ({"step_env": counts_with_nan}, "overflow", r"s\.at\[i\] = nan does not fit into int32"),
    ({"observe_env": leaves_an_element}, "observations written", r"obs\[i, 1\] was not written: 1 of 3 elements"),
    ({"observe_env": leaves_an_element_at_times}, "observations written", r"obs\[i, 1\] was not written: 1 of 3"),
    ({"observe_env": leaves_the_bounds}, "observations in space", r"obs\[i, 1\] = 2\.0 is outside the observation sp"),
    ({"observe_env": is_nan}, "observations in space", r"obs\[i, 2\] = nan is outside the observation space"),
    ({"observe_env": observes_too_far}, "bounds", r"obs\[i, 3\]: index 3 is out of bounds for axis 1 of size 3"),
    ({"observe_env": observes_another}, "bounds", r"obs\[-1, 0\]: index -1 is out of bounds for axis 0 of size 8"),
    ({"observe_env": adds_to_the_last_one}, "observations written", r"obs\[i, 0\] is read before it was written"),
    (
        {"observe_env": fills_images, "single_observation_space": Box(0, 255, (3,), np.uint8)},
        "overflow",
        r"obs\[i, 2\] = \d00 does not fit into uint8",
    ),
    ({"step_env": writes_params}, "read-only arrays", r"p\.worth\[\d\] = .* writes to what is read-only"),
    ({"step_env": looks_up_too_far}, "bounds", r"p\.worth\[[56]\]: index [56] is out of bounds for axis 0 of size 5"),
    ({"step_env": overflows_in_its_own_array}, "bounds", r"index 2 is out of bounds for axis 0 with? (of )?size 2"),
    ({"step_env": reads_what_was_there}, "observations written", r"np\.empty\(\.\.\.\)\[[02]\] is read before it was"),
    ({"step_env": divides_by_zero}, "rewards", r"a reward is (nan|-?inf) \(environment 0\)\n +return s\.x\[i\] /"),
    ({"step_env": pays_too_much}, "rewards", r"step_env returned what is outside float32: a reward is 1e\+39"),
    (
        {"step_env": returns_the_reward_alone},
        "plain Python",
        r"step_env returned 0\.5; expected \(reward, terminated\)",
    ),
    ({"step_env": returns_a_count}, "plain Python", r"returned 2 for terminated; expected True or False"),
    ({"step_env": raises_a_type_error}, "runs", r"TypeError: unsupported operand.*\n +return s\.x\[i\] \+ None"),
    ({"step_env": divides_by_a_param}, "runs", r"ZeroDivisionError: .*\n +return 1 // p\.zero"),
    ({"step_env": draws_from_numpy}, "seeding", r"np\.random\.random does not depend on the environment's seed alone"),
    ({"reset_env": draws_from_python}, "seeding", r"random\.randrange does not depend on the environment's seed alone"),
    ({"step_env": tells_the_time}, "seeding", r"after reset\(seed=1\) a second time, state\.x differs at step 0"),
    ({"reset_env": remembers}, "seeding", r"after reset\(seed=1\) a second time, .* differs at step 0"),
    (
        {"base": Pair, "step_env": pays_nobody},
        "bounds",
        r"team\.reward\[i, 2\]: index 2 is out of bounds for axis 1 of",
    ),
    ({"base": Pair, "step_env": pays_another_team}, "bounds", r"team\.reward\[-1, 0\]: index -1 is out of bounds"),
    (
        {"base": Pair, "step_env": takes_its_own_actions},
        "read-only arrays",
        r"action\[0\] = 1 writes to what is read-on",
    ),
    ({"base": Pair, "observe_env": allows_nothing}, "action masks", r"of row 0, which is to act in step 1, allows no"),
    (
        {"base": Pair, "single_observation_space": SHORT_MASK},
        "action masks",
        r"has 2 elements; Discrete\(3\) has 3 cho",
    ),
]


@pytest.mark.parametrize(
    ("changed", "name", "message"),
    [pytest.param(*row, id=getattr(list(row[0].values())[-1], "__name__", "short_mask")) for row in IN_PLAIN_PYTHON],
)
def test_plain_python_finds_it_and_that_is_the_only_finding(changed, name, message):
    (finding,) = checked(planted(**changed))
    assert (finding.name, finding.level) == (name, "problem")
    assert re.search(message, finding.message), finding.message
    if name not in ("seeding", "action masks") or "np.random" in finding.message:
        assert finding.message.startswith("test_planted.py:")


# -------------------------------------------------------------------------------------------------------- compiled


def never_ends(s, p, i, action, rng):
    s.x[i] = 0.5 * action
    return 0.5, False


def ignores_the_action(s, p, i, action, rng):
    s.ticks[i] += 1
    s.x[i] = uniform(rng, -1.0, 1.0)
    return s.x[i], False


def ignores_a_dial(s, p, i, action, rng):
    s.at[i] = action[0]
    return 0.1 * action[2], False


def subtracts_uint8(s, p, i, action, rng):
    s.more[i] = action
    return 0.0 if s.less[i] - s.more[i] < 0 else 1.0, False


def pays_a_lot(s, p, i, action, rng):
    return 1000.0 * action, False


def is_all_zero(s, p, i, obs):
    for k in range(3):
        obs[i, k] = 0.0


def is_constant(s, p, i, obs):
    for k in range(3):
        obs[i, k] = 0.5


def has_large_numbers(s, p, i, obs):
    obs[i, 0] = 1000.0 * s.at[i]
    obs[i, 1] = s.goal[i]
    obs[i, 2] = s.x[i]


def draws_nothing(s, p, i, rng):
    s.goal[i] = 4


WIDE = Box(-1e6, 1e6, (3,), np.float32)


@pytest.mark.parametrize(
    ("changed", "name", "level", "message"),
    [
        (
            {"step_env": never_ends, "max_episode_steps": None},
            "episodes end",
            "problem",
            "set max_episode_steps, or ret",
        ),
        ({"step_env": ignores_the_action}, "actions", "problem", r"no action changes anything: .* use Discrete\(3\)"),
        (
            {"step_env": ignores_a_dial, "single_action_space": MultiDiscrete([3, 2, 4])},
            "actions",
            "note",
            "component 1 of the action changes nothing",
        ),
        (
            {"step_env": subtracts_uint8},
            "compiled",
            "problem",
            r"rewards\[\d\] is 0\.0 in plain Python and 1\.0 compiled",
        ),
        ({"step_env": pays_a_lot}, "rewards", "note", "from 0 to 2e.03; scale them"),
        ({"observe_env": is_all_zero}, "observations vary", "problem", "every observation is zero"),
        ({"observe_env": is_constant}, "observations vary", "note", "every observation is the same"),
        (
            {"observe_env": has_large_numbers, "single_observation_space": WIDE},
            "observation scale",
            "note",
            r"from -?[\d.]+ to 4e\+03; scale it",
        ),
        ({"reset_env": draws_nothing}, "seeding", "note", "two seeds give the same run"),
    ],
)
def test_compiled_code_shows_it(changed, name, level, message):
    found = {finding.name: finding for finding in checked(planted(**changed))}
    assert found[name].level == level
    assert re.search(message, found[name].message), found[name].message


# ------------------------------------------------------------------------------------------ what ends the process


def loops(s, p, i, action, rng):
    while s.at[i] < 3:
        s.at[i] = 0
    return 0.0, False


def loops_in_compiled_code(s, p, i, action, rng):
    s.more[i] = 1
    while s.less[i] - s.more[i] > 0:
        s.at[i] = 1 - s.at[i]
    return 0.1 * action, False


def crashes(s, p, i, action, rng):
    ctypes.string_at(0)
    return 0.0, False


def crashes_in_compiled_code(s, p, i, action, rng):
    s.more[i] = 1
    difference = s.less[i] - s.more[i]
    if difference > 0:
        s.visits[i, difference >> np.uint64(10)] = 1
    return 0.1 * action, False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (loops, r"^step_env does not return: after 1 s it is at test_planted\.py:\d+: (while s\.at|s\.at\[i\] = 0)"),
        (loops_in_compiled_code, r"^Planted\.step_env does not return, compiled, in 1 s; in plain Python it did"),
        (crashes, r"^the process was ended by signal SIG(SEGV|BUS) at test_planted\.py:\d+: ctypes\.string_at\(0\)"),
        (
            crashes_in_compiled_code,
            r"^the process was ended by signal SIG(SEGV|BUS) in compiled step_env or observe_env\n"
            r"Planted: index is out of bounds, in compiled code; the same step in plain Python finds nothing\.$",
        ),
    ],
)
def test_what_ends_or_blocks_a_process_is_a_finding(function, message):
    findings = check_apart(Job(planted(step_env=function), {}, 60, False), patience=1.0)
    assert findings is not None
    (finding,) = wrong(findings)
    assert (finding.name, finding.level) == ("runs", "problem")
    assert re.search(message, finding.message), finding.message


def slips_into_float64(s, p, i, action, rng):
    s.x[i] = 0.5 * s.x[i] + action / 4
    return s.x[i], False


@pytest.mark.slow
def test_a_process_of_its_own_finds_what_this_one_does():
    """Also the slip into float64, which the machine code shows."""
    env_class = planted(step_env=slips_into_float64)
    findings = check_apart(Job(env_class, {}, 60, True))
    assert findings is not None
    assert [(f.name, f.level) for f in findings[:-2]] == [(f.name, f.level) for f in checked(env_class)]
    assert findings[-1].name == "float type"
    assert "s.x[i] = 0.5 * s.x[i] + action / 4" in findings[-1].message


SCRIPT = """
from puffer_numba import check
from tests.checks.test_planted import Sound

class OfAScript(Sound):
    pass

for finding in check(OfAScript()):
    print(finding.name, finding.level)
"""


@pytest.mark.slow
def test_a_class_of_a_script_is_checked_without_running_the_script_again(run_python, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    lines = run_python(tmp_path / "script.py").stdout.splitlines()
    assert lines[0] == "plain Python ok"
    assert lines[-2].startswith("vectorized ")
    assert len(lines) == 15
