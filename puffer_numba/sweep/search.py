"""The search: samples settings, hands them to workers, and tells the study what they came to."""

from __future__ import annotations

import dataclasses
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import optuna
from optuna.trial import TrialState

from puffer_numba.config import Config, SweepConfig
from puffer_numba.env import APIUsageError
from puffer_numba.jit import JitEnv
from puffer_numba.jit.compiler.threads import MAX_THREADS, cores
from puffer_numba.naming import load_spec
from puffer_numba.options import env_params
from puffer_numba.runs.loggers import Logger, MultiLogger, WandbLogger
from puffer_numba.sweep.messages import SLOTS, Budget, Failure, Message, Outcome, Report, Started
from puffer_numba.sweep.progress import Progress, Running
from puffer_numba.sweep.report import SweepResult
from puffer_numba.sweep.space import Space
from puffer_numba.sweep.study import HEARTBEAT, best_of, open_study, own_heartbeats, results_folder, trials_of
from puffer_numba.sweep.workers import Worker, ready

_REFRESH = 0.25  # seconds between two looks at what is running
_PATIENCE = 5.0  # seconds, and twice the budget, that a trial may take
_HOPELESS = 5  # failures before the first success


@dataclass
class _Job:
    """A trial that a worker trains."""

    trial: optuna.Trial
    settings: dict[str, Any]
    started: float | None = None
    """When its clock did."""
    progress: float | None = None
    is_given_up: bool = False


class Search:
    """One machine's part in a study.

    Args:
        config: what all trials have in common.
        space: what they differ in.
        options: budget, storage, workers.
        progress: is told what happens.

    Raises:
        APIUsageError: a storage or study that cannot be used.
    """

    def __init__(self, config: Config, space: Space, options: SweepConfig, progress: Progress) -> None:
        self.config, self.space, self.options, self.progress = config, space, options, progress
        self.spec = load_spec(config.env_name)
        self.study, self._storage = open_study(config, space, options)
        self._study_id = self._storage.get_study_id_from_name(self.study.study_name)
        self._distributions = {values.label(name): values.distribution() for name, values in space.items()}
        self._budget = Budget(options.seconds, options.steps)
        self._workers: list[Worker] = []
        self._jobs: dict[Worker, _Job] = {}
        self._last_beat = time.monotonic()
        self._logger = self._wandb()
        if not self.study.get_trials(deepcopy=False):
            self.study.enqueue_trial(self._usual())

    def _wandb(self) -> Logger:
        """A run of Weights & Biases for this machine's part, with a row for each trial, where ``log.wandb`` is on."""
        if not self.config.log.wandb:
            return MultiLogger([])
        folder = results_folder(self.config, self.options)
        folder.mkdir(parents=True, exist_ok=True)
        return MultiLogger([WandbLogger(self.config, folder, uuid.uuid4().hex[:12])])

    def _usual(self) -> dict[str, Any]:
        """The settings that all trials start from, as near as the space has them: a first trial to compare with."""
        sections = self.config.to_dict()
        sections["env"] = env_params(self.spec) | sections["env"].pop("params") | sections["env"]
        usual = {}
        for name, values in self.space.items():
            section, key = name.split(".", 1)
            if sections[section].get(key) is not None:
                usual[values.label(name)] = values.encode(sections[section][key])
        return usual

    def run(self) -> None:
        """Do trials until the study has as many as are wanted.

        After Ctrl-C, trials that were running are put back into the queue.

        Raises:
            APIUsageError: the first trials all failed, or the study has other choices for a setting.
        """
        with _ctrl_c_deferred() as interrupted:
            try:
                while not interrupted.is_set() and self._begin_trials():
                    for worker in ready(list(self._jobs), _REFRESH):
                        self._handle(worker, worker.receive())
                    self._give_signs_of_life()
                    self._end_overdue()
                    self.progress.running([self._state_of(job) for job in self._jobs.values()])
                if interrupted.is_set():
                    for job in self._jobs.values():
                        self.study.enqueue_trial(job.trial.params)
                    raise KeyboardInterrupt
            finally:
                self._close()

    def _close(self) -> None:
        """End what still runs."""
        self.progress.close()
        self._logger.close()
        for worker in self._workers:
            worker.hang_up()
        for worker in self._workers:
            worker.close()
        for worker in list(self._jobs):
            self._fail(worker, None)

    def result(self) -> SweepResult:
        """What the study has come to so far, other machines' part included."""
        return SweepResult.of(self.study, self.config, results_folder(self.config, self.options))

    # -- beginning ------------------------------------------------------------------------------------------

    def _begin_trials(self) -> bool:
        """Give each idle worker a trial, if more are wanted; whether any is running now."""
        while len(self._jobs) < self.options.workers and self._is_one_wanted():
            self._workers = [worker for worker in self._workers if worker.is_alive]
            idle = next((worker for worker in self._workers if worker not in self._jobs), None)
            if idle is None:
                idle = Worker()
                self._workers.append(idle)
            self._begin(idle)
        return bool(self._jobs)

    def _is_one_wanted(self) -> bool:
        with own_heartbeats():
            optuna.storages.fail_stale_trials(self.study)
        return sum(trial.counts for trial in trials_of(self.study)) < self.options.trials

    def _begin(self, worker: Worker) -> None:
        try:
            with own_heartbeats():
                trial = self.study.ask(self._distributions)
        except ValueError as error:  # Optuna's choices cannot change
            raise APIUsageError(
                f"the study {self.options.study!r} was begun with another search space: {error} Give the same, or "
                "another name by --sweep.study."
            ) from error
        settings = {name: values.decode(trial.params[values.label(name)]) for name, values in self.space.items()}
        trial.set_user_attr("settings", settings)
        self._jobs[worker] = _Job(trial, settings)
        self._beat(trial)
        worker.train(self._config_of(settings), self._budget)

    def _config_of(self, settings: dict[str, Any]) -> Config:
        """Of a trial: without checkpoints, and with a fair part of this machine's cores where nothing else was said."""
        config = Config.from_dict(self.config.to_dict()).update({**settings, "train.checkpoint_interval": 0})
        vec, workers = config.vec, self.options.workers
        if workers > 1 and vec.num_threads is None:
            vec.num_threads = max(1, MAX_THREADS // workers)
        if workers > 1 and vec.num_workers is None and not issubclass(self.spec.env_class, JitEnv):
            maximum = max(1, cores() // workers)
            vec.num_workers = max(count for count in range(1, maximum + 1) if config.env.num_envs % count == 0)
        return config

    # -- while they run -------------------------------------------------------------------------------------

    def _handle(self, worker: Worker, message: Message) -> None:
        try:
            self._take(worker, message)
        except optuna.exceptions.UpdateFinishedTrialError:
            # This machine was asleep, and another has given the trial up.
            worker.close(grace=0)
            self._jobs.pop(worker, None)

    def _take(self, worker: Worker, message: Message) -> None:
        job = self._jobs[worker]
        match message:
            case Started():
                job.started = time.monotonic()
            case Report(slot, progress):
                job.progress = progress
                job.trial.report(progress, slot)
                if not job.is_given_up and job.trial.should_prune():
                    job.is_given_up = True
                    worker.give_up()
            case Outcome():
                self._finish(worker, message)
            case Failure(error, traceback):
                self._fail(worker, error, traceback)

    def _give_signs_of_life(self) -> None:
        if time.monotonic() - self._last_beat >= HEARTBEAT:
            self._last_beat = time.monotonic()
            for job in self._jobs.values():
                self._beat(job.trial)

    def _beat(self, trial: optuna.Trial) -> None:
        record = getattr(self._storage, "record_heartbeat", None)
        if record is not None:
            record(self._storage.get_trial_id_from_study_id_trial_number(self._study_id, trial.number))

    def _end_overdue(self) -> None:
        """Kill what is still busy with one rollout long after the end of the budget."""
        latest = time.monotonic() - 2 * self._budget.seconds - _PATIENCE
        for worker, job in list(self._jobs.items()):
            if job.started is not None and job.started < latest:
                worker.close(grace=0)
                self._fail(
                    worker,
                    f"a rollout, or learning from it, took longer than the {self._budget.seconds:g} s of the trial",
                )

    def _state_of(self, job: _Job) -> Running:
        seconds = 0.0 if job.started is None else time.monotonic() - job.started
        return Running(job.trial.number, min(1.0, seconds / self._budget.seconds), job.progress, job.settings)

    # -- ending ---------------------------------------------------------------------------------------------

    def _finish(self, worker: Worker, outcome: Outcome) -> None:
        job = self._jobs[worker]
        trial = job.trial
        trial.set_user_attr("outcome", dataclasses.asdict(outcome))
        if job.is_given_up:
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            # One that reached its target early is there at the end too, when the pruner compares others with it.
            for slot in range(int(self._budget.used(outcome.seconds, outcome.steps) * SLOTS) + 1, SLOTS + 1):
                trial.report(outcome.progress, slot)
            self.study.tell(trial, outcome.score)
        del self._jobs[worker]
        self._announce(trial)

    def _fail(self, worker: Worker, error: str | None, traceback: str = "") -> None:
        """End a trial without a score; one without an error was interrupted."""
        trial = self._jobs[worker].trial
        if error is not None:
            trial.set_user_attr("error", error)
            trial.set_user_attr("traceback", traceback)
        self.study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        del self._jobs[worker]
        if error is not None:
            self._announce(trial)
            self._check_hope(error)

    def _check_hope(self, error: str) -> None:
        failed = [trial for trial in trials_of(self.study) if trial.counts and trial.state != "running"]
        if len(failed) >= _HOPELESS and all(trial.state == "failed" for trial in failed):
            raise APIUsageError(f"the first {len(failed)} trials all failed; the last one said: {error}")

    def _announce(self, trial: optuna.Trial) -> None:
        trials = trials_of(self.study)
        ended = next(t for t in trials if t.number == trial.number)
        done = sum(t.counts and t.state != "running" for t in trials)
        self.progress.ended(ended, best_of(trials), done)
        numbers = {
            **ended.settings,
            **{name: getattr(ended, name) for name in ("score", "mean_return", "seconds", "steps")},
        }
        row = {f"sweep/{name}": float(value) for name, value in numbers.items() if isinstance(value, int | float)}
        self._logger.log(row, ended.number)


@contextmanager
def _ctrl_c_deferred() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, so that nothing is left half done in the study; a second one interrupts at once."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def on_ctrl_c(number: int, frame: FrameType | None) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    before = signal.signal(signal.SIGINT, on_ctrl_c)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
