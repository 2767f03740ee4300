"""A trained policy in one file that runs without this library: ONNX, torch.export's archive, or TorchScript.

The file makes one step of the policy, for a batch of any size. Its inputs:

- ``observation``: ``(batch, *shape)``, in the dtype of the environment's observation space. Where that is a Dict, Tuple
  or OneOf, there is an input for each array in it instead, named as Python would reach it:
  ``observation['camera'][0]``. A Text is the numbers of its letters, padded with the number of letters that there are;
  a OneOf has ``observation.index``, and zeros for the parts that were not chosen.
- ``state``, where the policy is recurrent: ``(batch, 2, hidden_size)`` float32, zeros where an episode begins.

Its outputs:

- ``action``: the greedy action, as the environment takes it. Dicts and Tuples of actions are flat: all elements one
  after the other, integers first.
- ``params``: what the trainer samples actions from, float32: logits, then means, then log standard deviations, as
  `puffer_numba.pytorch.action_distribution` has them. Illegal actions have a logit of -1e9.
- ``value``: ``(batch,)`` float32, in the units of the trainer, which may have scaled the rewards.
- ``next_state``, where there is a ``state``: what to give with the next observation.

The normalization of observations is part of the file. Its metadata names environment, spaces, inputs, outputs,
checkpoint and library version.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import logging
import math
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from puffer_numba.distributions.actions import action_distribution, action_params
from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.extras import require
from puffer_numba.models.actor import is_recurrent
from puffer_numba.models.encoders import StructuredEncoder
from puffer_numba.models.mlp import ILLEGAL
from puffer_numba.models.normalizer import RunningNormalizer
from puffer_numba.runs import checkpoint as checkpoints
from puffer_numba.runs.checkpoint import WEIGHTS, Checkpoint
from puffer_numba.runs.evaluation import load_trained
from puffer_numba.spaces import Leaf, leaf_bounds
from puffer_numba.train.episodes import policy_player
from puffer_numba.train.setup import load_env

Arrays = dict[str, NDArray[Any]]
"""By the names of a file's inputs or outputs; the first axis is the batch."""
OUTPUTS = ("action", "params", "value", "next_state")
Run = Callable[[Arrays], Arrays]

ENVS, STEPS = 4, 64  # a file is checked on observations of so many steps of play,
RANDOM = 256  # and on so many random ones,
LARGEST_FLOAT, LARGEST_INTEGER = 10.0, 2.0**31  # which are no larger than this
TOLERANCE = 1e-4  # of the largest output


class ExportError(RuntimeError):
    """The exported file does not do what the policy does."""


@dataclass
class Exported:
    """A file that was written, and how it was checked."""

    path: Path
    inputs: dict[str, str]
    """Dtype and shape, by name: ``float32 (batch, 4)``."""
    outputs: dict[str, str]
    difference: float
    """The largest between outputs of the file and the policy's, divided by the largest output where that is above 1."""
    samples: int
    """Observations on which they were compared."""


def export(
    env_name: str,
    path: str | Path = "policy.onnx",
    *,
    checkpoint: str | Path = "latest",
    data_dir: str | Path = "runs",
    policy: str | None = None,
) -> Exported:
    """Write the policy of a checkpoint to one file; the module's docstring has its inputs and outputs.

    The file is opened again and compared with the policy, on observations of play and on random ones. It appears at
    ``path`` only if its outputs are the same, but for rounding.

    Args:
        path: its ending says what to write: ``.onnx``; ``.pt2``, which `torch.export.load` reads; or ``.pt``, for
            `torch.jit.load` and libtorch. PyTorch has deprecated the last, TorchScript, in favour of the second.
        checkpoint: folder of a checkpoint or of a run, or "latest": the environment's newest in ``data_dir``.
        policy: as for `puffer_numba.runs.evaluation.evaluate`.

    Raises:
        APIUsageError: another ending.
        CheckpointError: the checkpoint is missing, damaged, another environment's, or does not fit.
        ExportError: the file's outputs differ from the policy's.
        MissingExtra: ONNX is wanted, and its packages are not installed.
    """
    _format_of(Path(path))
    saved = checkpoints.load_of(env_name, checkpoint, data_dir, policy)
    with load_env(saved.config, ENVS) as env:
        module, normalizer = load_trained(saved, env)
        return export_policy(module, env, path, normalizer=normalizer, metadata=_origin(saved))


def export_policy(
    policy: nn.Module,
    env: PufferEnv,
    path: str | Path,
    *,
    normalizer: RunningNormalizer | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Exported:
    """Write any policy that the trainer takes, as `export` does.

    Args:
        policy: is left as it is, on its device and in training.
        env: what it acts in; the policy plays there, so that its outputs can be compared.
        normalizer: of its observations, or None.
        metadata: to be written too.

    Raises:
        APIUsageError: as `export`; or the policy takes apart structured observations by itself, in bytes.
    """
    path = Path(path)
    file_format = _format_of(path)
    standalone = StandalonePolicy(policy, normalizer, env)
    inputs, outputs = _samples(standalone, env)
    metadata = {**_interface(env, inputs, outputs), **(metadata or {})}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        file = Path(folder) / path.name
        example = tuple(torch.from_numpy(array[:2].copy()) for array in inputs.values())
        file_format.write(file, standalone, example, metadata)
        difference = _compare(standalone, file_format.open(file), inputs, outputs)
        os.replace(file, path)
    return Exported(path, _describe(inputs), _describe(outputs), difference, len(outputs["value"]))


class StandalonePolicy(nn.Module):
    """One step of a policy: from the arrays of observations to the greedy action and the rest of a file's outputs.

    Args:
        policy: as `puffer_numba.models.load.load_policy` makes it.
        normalizer: of its observations, or None.
        env: gives the spaces.
    """

    def __init__(self, policy: nn.Module, normalizer: RunningNormalizer | None, env: PufferEnv) -> None:
        super().__init__()
        self.policy: Any = copy.deepcopy(policy).cpu().eval()
        self.normalizer = None if normalizer is None else copy.deepcopy(normalizer).cpu()
        self.distribution = action_distribution(env.single_action_space, policy)
        self.flat_shape = env.single_observation_space.shape
        self.leaves = _leaves(env)
        self.structured = isinstance(getattr(policy, "encoder", None), StructuredEncoder)
        if not self.structured and len({leaf.dtype for leaf in self.leaves}) > 1:
            raise APIUsageError(
                f"cannot export a {type(policy).__name__}, which takes observations of several dtypes as bytes; let it "
                "have the attribute encoder, a StructuredEncoder, and hand it the observations as they come."
            )
        self.recurrent = is_recurrent(policy)

    @property
    def input_names(self) -> list[str]:
        """In the order of the arguments of `forward`."""
        return [leaf.path for leaf in self.leaves] + ["state"] * self.recurrent

    @property
    def output_names(self) -> list[str]:
        """In the order of what `forward` returns."""
        return list(OUTPUTS if self.recurrent else OUTPUTS[:-1])

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The outputs of a file from its inputs."""
        parts = inputs[: len(self.leaves)]
        state = [inputs[-1].transpose(0, 1)] if self.recurrent else []
        params, value, *after = self.step(parts if self.structured else self._joined(parts), *state)
        return self.distribution.mode(params), params, value, *[s.transpose(0, 1) for s in after]

    def step(self, observations: Any, *state: Tensor) -> tuple[Tensor, ...]:
        """What the policy makes of flat observations ``(rows, *shape)``, or of the parts that its encoder takes."""
        if self.normalizer is not None:
            observations = self.normalizer(observations)
        output, value, *after = getattr(self.policy, "forward_eval", self.policy)(observations, *state)
        return action_params(output), value.reshape(-1), *after

    def _joined(self, parts: tuple[Tensor, ...]) -> Tensor:
        """Flat observations from parts of one dtype."""
        flat = [part.reshape(-1, math.prod(leaf.shape)) for part, leaf in zip(parts, self.leaves, strict=True)]
        return torch.cat(flat, -1).reshape(-1, *self.flat_shape)


def _leaves(env: PufferEnv) -> tuple[Leaf, ...]:
    """The arrays that an observation is made of."""
    emulated = env.emulated
    if emulated is not None:
        return tuple(emulated.leaves)
    space = env.single_observation_space
    return (Leaf("observation", space, np.dtype(space.dtype), space.shape, 0),)


# ---------------------------------------------------------------------- checking


@torch.inference_mode()
def _samples(policy: StandalonePolicy, env: PufferEnv) -> tuple[Arrays, Arrays]:
    """Inputs, and what the policy itself makes of them, by way of the environment's flat observations."""
    rng = np.random.default_rng(0)
    flat = np.concatenate([_play(policy, env), _random_observations(policy, env, rng)])
    inputs = {leaf.path: _part(flat, leaf) for leaf in policy.leaves}
    state = []
    if policy.recurrent:
        shape = policy.policy.initial_state(len(flat)).transpose(0, 1).shape
        inputs["state"] = rng.uniform(-1, 1, tuple(shape)).astype(np.float32)
        state = [torch.from_numpy(inputs["state"]).transpose(0, 1)]
    params, value, *after = policy.step(torch.from_numpy(flat), *state)
    tensors = [policy.distribution.mode(params), params, value, *[s.transpose(0, 1) for s in after]]
    return inputs, {name: t.numpy() for name, t in zip(policy.output_names, tensors, strict=True)}


def _play(policy: StandalonePolicy, env: PufferEnv) -> NDArray[Any]:
    """Flat observations ``(rows, *shape)`` on which the policy acted."""
    player = policy_player(policy.policy, env.single_action_space, normalizer=policy.normalizer)
    begins = np.ones(env.num_agents, np.bool_)
    env.reset(0)
    seen = []
    for _ in range(STEPS):
        seen.append(env.observations[env.masks])
        _, _, terminals, truncations, _ = env.step(player(env, begins))
        begins = terminals | truncations
    return np.concatenate(seen)


def _random_observations(policy: StandalonePolicy, env: PufferEnv, rng: np.random.Generator) -> NDArray[Any]:
    """Flat observations ``(RANDOM, *shape)`` with uniform values within the bounds of their space."""
    flat = np.zeros((RANDOM, *policy.flat_shape), env.single_observation_space.dtype)
    for leaf in policy.leaves:
        largest = LARGEST_FLOAT if leaf.dtype.kind == "f" else LARGEST_INTEGER
        low, high = (np.clip(np.asarray(bound, np.float64), -largest, largest) for bound in leaf_bounds(leaf.space))
        part = _part(flat, leaf)
        values = rng.uniform(low, high, part.shape)
        part[...] = values if leaf.dtype.kind == "f" else np.round(values)
    return flat


def _part(flat: NDArray[Any], leaf: Leaf) -> NDArray[Any]:
    """A leaf of flat observations ``(rows, *shape)``, as a view."""
    row_bytes = flat.reshape(len(flat), -1).view(np.uint8)
    size = math.prod(leaf.shape) * leaf.dtype.itemsize
    return row_bytes[:, leaf.offset : leaf.offset + size].view(leaf.dtype).reshape(len(flat), *leaf.shape)


def _compare(policy: StandalonePolicy, run: Run, inputs: Arrays, expected: Arrays) -> float:
    """The largest difference between the outputs of a file and those expected; all rows at once, and one alone."""
    one_input, one_expected = ({name: a[:1] for name, a in arrays.items()} for arrays in (inputs, expected))
    return max(_difference(policy, run(inputs), expected), _difference(policy, run(one_input), one_expected))


def _difference(policy: StandalonePolicy, found: Arrays, expected: Arrays) -> float:
    largest = 0.0
    for name, wanted in expected.items():
        got = found[name]
        if (got.shape, got.dtype) != (wanted.shape, wanted.dtype):
            raise ExportError(
                f"the exported {name} is {got.dtype} {got.shape}; the policy's is {wanted.dtype} {wanted.shape}."
            )
        if name == "action":
            # From the file's own params: where two choices are as likely, rounding decides.
            wanted = policy.distribution.mode(torch.from_numpy(found["params"])).numpy()
        possible = wanted[wanted > ILLEGAL / 2]
        difference = float(np.abs(got - wanted).max() / np.abs(possible).max(initial=1.0))
        if not difference <= TOLERANCE:  # NaN is not
            raise ExportError(f"the exported {name} differs from the policy's by {difference:.2g} of the largest.")
        largest = max(largest, difference)
    return largest


# ---------------------------------------------------------------------- metadata


def _interface(env: PufferEnv, inputs: Arrays, outputs: Arrays) -> dict[str, str]:
    """What a file can be given, and what it answers."""
    emulated = env.emulated
    observation_space = env.single_observation_space if emulated is None else emulated.observation_space
    action_space = env.single_action_space if emulated is None else emulated.action_space
    return {
        "library": f"puffer_numba {version('puffer_numba')}",
        "observation_space": str(observation_space),
        "action_space": str(action_space),
        "flat_action_space": str(env.single_action_space),
        "inputs": json.dumps(_describe(inputs)),
        "outputs": json.dumps(_describe(outputs)),
    }


def _origin(saved: Checkpoint) -> dict[str, str]:
    """Where a policy comes from."""
    return {
        "environment": saved.config.env_name,
        "environment_params": json.dumps(saved.config.env.params),
        "checkpoint": f"{saved.path.parent.name}/{saved.path.name}",
        "steps": str(saved.data["global_step"]),
        "weights_sha256": hashlib.sha256((saved.path / WEIGHTS).read_bytes()).hexdigest(),
    }


def _describe(arrays: Arrays) -> dict[str, str]:
    return {name: f"{a.dtype} ({', '.join(['batch', *map(str, a.shape[1:])])})" for name, a in arrays.items()}


# ---------------------------------------------------------------------- formats


class Format(NamedTuple):
    """A kind of file."""

    write: Callable[[Path, StandalonePolicy, tuple[Tensor, ...], Mapping[str, str]], None]
    """Writes a policy to a path, traced with these inputs, with metadata."""
    open: Callable[[Path], Run]
    needs: tuple[str, ...] = ()
    """Modules of the extra ``onnx``."""


def _write_onnx(path: Path, policy: StandalonePolicy, example: tuple[Tensor, ...], metadata: Mapping[str, str]) -> None:
    program = _program(policy, example)
    with _silence():
        onnx = torch.onnx.export(
            program, input_names=policy.input_names, output_names=policy.output_names, verbose=False
        )
    assert onnx is not None
    shape: Any = onnx.model.graph.inputs[0].shape
    onnx.rename_axes({shape[0]: "batch"})
    onnx.model.metadata_props.update(metadata)
    onnx.save(path)


def _open_onnx(path: Path) -> Run:
    try:
        import onnxruntime
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        session = ReferenceEvaluator(str(path))
        names = session.output_names
    else:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(None, inputs), strict=True))


def _write_pt2(path: Path, policy: StandalonePolicy, example: tuple[Tensor, ...], metadata: Mapping[str, str]) -> None:
    torch.export.save(_program(policy, example), path, extra_files=dict(metadata))


def _open_pt2(path: Path) -> Run:
    return _named(torch.export.load(path).module())


def _write_torchscript(
    path: Path, policy: StandalonePolicy, example: tuple[Tensor, ...], metadata: Mapping[str, str]
) -> None:
    with _silence(), torch.no_grad():
        torch.jit.save(torch.jit.trace(policy, example), path, _extra_files=dict(metadata))
    with zipfile.ZipFile(path) as archive:  # its stack traces are left out, as below
        records = {name: archive.read(name) for name in archive.namelist() if not name.endswith(".debug_pkl")}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in records.items():
            archive.writestr(name, content)


def _open_torchscript(path: Path) -> Run:
    with _silence():
        return _named(torch.jit.load(path))


FORMATS = {
    ".onnx": Format(_write_onnx, _open_onnx, ("onnx", "onnxscript")),
    ".pt2": Format(_write_pt2, _open_pt2),
    ".pt": Format(_write_torchscript, _open_torchscript),
}


def _format_of(path: Path) -> Format:
    if path.suffix not in FORMATS:
        raise APIUsageError(f"cannot export to {path}; expected a name that ends in {', '.join(FORMATS)}.")
    found = FORMATS[path.suffix]
    for module in found.needs:
        require(module, "onnx", f"writing {path.suffix}")
    return found


def _program(policy: StandalonePolicy, example: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch")
    with torch.no_grad():
        program = torch.export.export(policy, example, dynamic_shapes=(tuple({0: batch} for _ in example),))
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it would tell everyone how folders are called here
    return program


def _named(module: Callable[..., tuple[Tensor, ...]]) -> Run:
    @torch.inference_mode()
    def run(inputs: Arrays) -> Arrays:
        outputs = module(*map(torch.from_numpy, inputs.values()))
        return {name: t.numpy() for name, t in zip(OUTPUTS, outputs, strict=False)}

    return run


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Without what PyTorch says of its own code: that TorchScript is deprecated, and what it does itself that is."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns that torchvision is not installed
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            yield
    finally:
        log.setLevel(level)
