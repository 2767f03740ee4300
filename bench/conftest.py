"""The fixture `measure` of all benchmarks here, what they say of the machine, and the table of ratios at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numba
import pytest

from bench import timer
from bench.contestants import NotHere
from bench.timer import Contestant

Make = Callable[[ExitStack], Contestant]
"""Makes a contestant, and registers what must be closed afterwards."""

RATIOS = pytest.StashKey[list[tuple[str, str, float]]]()
ROUNDS, SECONDS = 5, 0.1


@pytest.fixture
def measure(benchmark: Any, request: pytest.FixtureRequest) -> Any:
    """``measure(group, contestant, ours)``: benchmark what a `Make` makes, and compare it with ours if it is another.

    ``extra_info`` gets ``steps_per_call``, ``steps_per_second``, and ``ratio``: how many times as fast ours is, as the
    median of rounds in which the two take turns. Skips what needs something that is not here.
    """

    def run(group: str, contestant: Make, ours: Make | None = None) -> None:
        benchmark.group = group
        with ExitStack() as stack:
            try:
                theirs = contestant(stack)
            except (NotHere, ImportError) as reason:
                pytest.skip(str(reason))
            theirs.step()
            benchmark.extra_info["load"] = timer.machine()["load"]
            if ours is not None:
                speeds = timer.take_turns({"ours": ours(stack), "theirs": theirs}, ROUNDS, SECONDS)
                benchmark.extra_info["ratio"] = speeds["theirs"].ratio
                request.config.stash[RATIOS].append((group, request.node.callspec.id, speeds["theirs"].ratio))
            benchmark(theirs.step)
            benchmark.extra_info["steps_per_call"] = theirs.steps
            if benchmark.stats is not None:  # None with --benchmark-disable
                benchmark.extra_info["steps_per_second"] = theirs.steps / benchmark.stats.stats.median

    return run


def pytest_configure(config: pytest.Config) -> None:
    config.stash[RATIOS] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore"))  # of other libraries' old versions


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    machine_info["puffer_numba"] = timer.machine()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[RATIOS]:
        terminalreporter.section("how many times as fast ours is, in turns")
        terminalreporter.write_line(timer.described())
        for group, name, ratio in config.stash[RATIOS]:
            terminalreporter.write_line(f"{ratio:10,.2f}  {group}: {name}")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Kernels use one thread while the test runs."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)
