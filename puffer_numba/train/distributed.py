"""Training in several processes, on one machine or many, as torchrun starts them.

::

    torchrun --nproc-per-node=2 -m puffer_numba train cartpole

Each process, or rank, steps its own shard of the environments; gradients are averaged, so that the weights of all stay
the same, and those that one process would have with all environments, within rounding. Settings are of all together:
``env.num_envs`` is divided among the ranks. Only the first logs, prints and saves.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from puffer_numba.config import Config
from puffer_numba.env import APIUsageError
from puffer_numba.jit.compiler.announce import silence
from puffer_numba.jit.compiler.threads import MAX_THREADS, cores


class World:
    """All processes of one training run, and this one's place among them. By default, it is the only one.

    Attributes:
        rank: of this process, from 0.
        size: how many there are.
        local_size: how many there are on this machine.
        device: where tensors must be that are sent to others.
    """

    def __init__(self, rank: int = 0, size: int = 1, local_size: int = 1, device: Any = "cpu") -> None:
        self.rank, self.size, self.local_size = rank, size, local_size
        self.device = torch.device(device)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that logs, prints and saves."""
        return self.rank == 0

    def shard(self, name: str, total: int) -> int:
        """This rank's part of ``total``, which is what the setting ``name`` says.

        Raises:
            APIUsageError: it cannot be divided evenly.
        """
        if total % self.size:
            raise APIUsageError(f"{name} is {total}, which {self.size} processes cannot share evenly.")
        return total // self.size

    def sum(self, *values: float) -> list[float]:
        """The sum over all ranks of each of ``values``."""
        if self.size == 1:
            return list(values)
        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return tensor.tolist()

    def gather(self, tensor: Tensor) -> list[Tensor]:
        """The tensors of all ranks, which have one shape, in order of the ranks."""
        if self.size == 1:
            return [tensor]
        mine = tensor.to(self.device)
        parts = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(parts, mine)
        return [part.to(tensor.device) for part in parts]

    def gather_objects(self, value: Any) -> list[Any]:
        """What each rank has passed, in order of the ranks: on the first rank; elsewhere an empty list."""
        if self.size == 1:
            return [value]
        found = [None] * self.size if self.is_first else None
        dist.gather_object(value, found)
        return found or []

    def average_gradients(self, policy: nn.Module, record: Tensor, rows: int) -> None:
        """Gradients of ``policy``, and the losses ``record``, as of the minibatches of all ranks together.

        All of them travel as one message, with the number of rows that each rank's are the mean of.

        Args:
            rows: in this rank's minibatch; 0 where it has none, and neither gradients.
        """
        if self.size == 1:
            return
        tensors = [record]
        for p in policy.parameters():
            if p.requires_grad:
                p.grad = torch.zeros_like(p) if p.grad is None else p.grad
                tensors.append(p.grad)
        flat = torch.cat([t.detach().flatten().to(self.device, torch.float32) for t in tensors])
        message = torch.cat([flat * rows, torch.tensor([float(rows)], device=self.device)])
        dist.all_reduce(message)
        mean = message[:-1] / message[-1].clamp(min=1)
        for tensor, part in zip(tensors, mean.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(part.view_as(tensor))

    def broadcast(self, policy: nn.Module) -> None:
        """Give the parameters and buffers of the first rank to all."""
        if self.size == 1:
            return
        for tensor in [*policy.parameters(), *policy.buffers()]:
            there = tensor.detach().to(self.device)
            dist.broadcast(there, 0)
            tensor.detach().copy_(there)


ALONE = World()


def join(config: Config) -> World:
    """The world that torchrun has made for this process; where it has not, `ALONE`.

    On GPUs (``train.device`` is "cuda") each rank of a machine gets a GPU of its own, and NCCL carries the gradients;
    on the CPU, gloo does.

    Raises:
        APIUsageError: settings that several processes cannot share.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return ALONE
    if config.train.self_play:
        raise APIUsageError("train.self_play is for one process: its league is not shared among several.")
    rank, local_rank = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
    if rank > 0:
        silence()
    on_gpu = config.train.device.startswith("cuda")
    if on_gpu:
        config.update({"train.device": f"cuda:{local_rank}"})
        torch.cuda.set_device(local_rank)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if on_gpu else "gloo")
    return World(rank, size, int(os.environ["LOCAL_WORLD_SIZE"]), config.train.device if on_gpu else "cpu")


def shard(config: Config, world: World) -> Config:
    """The settings of this rank's own environments.

    Raises:
        APIUsageError: they cannot be divided evenly.
    """
    if world.size == 1:
        return config
    env, vec = config.env, config.vec
    batch_size = None if vec.batch_size is None else world.shard("vec.batch_size", vec.batch_size)
    num_envs = world.shard("env.num_envs", env.num_envs)
    each = max(1, cores() // world.local_size)
    workers = vec.num_workers
    if workers is None and ":" in config.env_name:  # as many as vector.make would start, were these all the cores
        size = batch_size or num_envs
        divisors = (w for w in range(1, each + 1) if num_envs % w == 0 and size % (num_envs // w) == 0)
        workers = max(divisors, default=None)
    threads = vec.num_threads or min(each, MAX_THREADS)
    return dataclasses.replace(
        config,
        env=dataclasses.replace(env, num_envs=num_envs),
        vec=dataclasses.replace(vec, batch_size=batch_size, num_threads=threads, num_workers=workers),
    )


def leave() -> None:
    """Wait for the other ranks, where there are any, and part from them. For the end of a run that went well."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
