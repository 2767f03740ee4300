"""Policies: torch modules from observations ``(rows, *shape)`` to action parameters and values.

The trainer takes any `torch.nn.Module` whose ``forward(observations)`` returns ``(action_params, values)``:
``(rows, num_params)``, as `puffer_numba.pytorch.action_distribution` wants them, and ``(rows,)`` or ``(rows, 1)``.
Where the module has a ``forward_eval``, that is called while experience is collected. PufferLib's policies do as they
are: their ``state`` is left out, and in place of one tensor they may return a tuple of logits, or a Normal.

`LSTM` puts a memory between the two halves of such a module, as PufferLib's LSTMWrapper does: the module then has
``encode_observations(observations)``, which returns ``(rows, hidden_size)``, and ``decode_actions(hidden)``.

`MLP` takes structured observations (emulated Dicts, Tuples and so on) apart with a `StructuredEncoder`; a policy of
one's own does so with `puffer_numba.pytorch.nativize_tensor`.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from puffer_numba.config import Activation, Config, Convolution
from puffer_numba.encoders import StructuredEncoder, make_encoder
from puffer_numba.env import APIUsageError, PufferEnv
from puffer_numba.pytorch import action_distribution, action_params, layer_init
from puffer_numba.spaces import ACTION_MASK

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}
LOG_STD_BOUNDS = (-5.0, 2.0)
ILLEGAL = -1e9  # as a logit: a probability of 0, without an infinity that could become NaN


class MLP(nn.Module):
    """A multilayer perceptron over the observation's features, with orthogonal initialization.

    Where observations are a Dict with an ``action_mask`` (PettingZoo's games, for example), actions with a 0 there
    have probability 0. The mask has an element for each choice of the action's discrete components.

    Args:
        env: gives the spaces, and where its observations are structured, ``emulated``.
        hidden_size: units of each hidden layer.
        num_layers: hidden layers.
        shared: one trunk for policy and value, which makes small networks almost twice as fast; otherwise one
            for each, which keeps the two losses apart.
        activation: "relu", "tanh" or "gelu".
        normalize: whether a `StructuredEncoder` is to normalize numbers by their running mean and deviation.
        log_std: of continuous actions, at the start.
        cnn: which convolutions see pictures, as in `puffer_numba.config.PolicyConfig`.
        state_dependent_std: the network puts out the log standard deviations too, between -5 and 2; otherwise they
            are parameters.
        squash: continuous actions are squashed into their bounds, not clipped.

    Attributes:
        encoder: from observations to features: a `BoxEncoder`, an `ImageEncoder`, or a `StructuredEncoder`.
        hidden_size: features between `encode_observations` and `decode_actions`.
    """

    def __init__(
        self,
        env: PufferEnv,
        hidden_size: int = 64,
        num_layers: int = 2,
        shared: bool = True,
        activation: Activation = "relu",
        normalize: bool = False,
        log_std: float = 0.0,
        cnn: Convolution = "auto",
        state_dependent_std: bool = False,
        squash: bool = False,
    ) -> None:
        super().__init__()
        self.squash = squash
        distribution = action_distribution(env.single_action_space, self)
        self.num_log_stds = distribution.num_log_stds if state_dependent_std else 0  # that the network puts out
        self.has_log_std = distribution.num_log_stds > self.num_log_stds
        num_outputs = distribution.num_params - distribution.num_log_stds + self.num_log_stds
        self.encoder = make_encoder(env, normalize, cnn)
        self.num_masked = _mask_size(self.encoder, env.single_action_space)

        def trunk() -> list[nn.Module]:
            sizes = [self.encoder.num_features, *[hidden_size] * num_layers]
            layers: list[nn.Module] = []
            for n_in, n_out in itertools.pairwise(sizes):
                layers += [layer_init(nn.Linear(n_in, n_out)), ACTIVATIONS[activation]()]
            return layers

        self.shared, self.hidden_size = shared, hidden_size
        if shared:
            head = layer_init(nn.Linear(hidden_size, num_outputs + 1), std=0.01)
            nn.init.orthogonal_(head.weight[-1:], 1.0)  # the last output is the value
            self.network = nn.Sequential(*trunk(), head)
        else:
            layers = trunk()
            head = layer_init(nn.Linear(hidden_size, num_outputs), std=0.01)
            self.actor = nn.Sequential(*layers, head)
            self.critic = nn.Sequential(*trunk(), layer_init(nn.Linear(hidden_size, 1), std=1.0))
        nn.init.constant_(head.bias[num_outputs - self.num_log_stds : num_outputs], log_std)
        if self.has_log_std:
            self.log_std = nn.Parameter(torch.full((distribution.num_log_stds,), log_std))

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Action parameters ``(rows, num_params)`` and values ``(rows,)`` of ``observations (rows, *shape)``."""
        if self.shared:
            params, values = self.decode_actions(self.encode_observations(observations))
        else:
            x = self.encoder(observations)
            params, values = self._with_log_std(self.actor(x)), self.critic(x)[:, 0]
        return self.mask_actions(params, observations), values

    def forward_eval(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """The same as `forward`; PufferLib's name for it while experience is collected."""
        return self.forward(observations)

    def encode_observations(self, observations: Tensor) -> Tensor:
        """What the last hidden layer makes of ``observations (rows, *shape)``: ``(rows, hidden_size)``. Shared only."""
        return self.network[:-1](self.encoder(observations))

    def decode_actions(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Action parameters, without the mask, and values of ``hidden (rows, hidden_size)``. Shared only."""
        out = self.network[-1](hidden)
        return self._with_log_std(out[:, :-1]), out[:, -1]

    def mask_actions(self, params: Tensor, observations: Tensor) -> Tensor:
        """``params`` with illegal actions made impossible, where ``observations`` have an ``action_mask``."""
        if not self.num_masked:
            return params
        legal = self.encoder.action_mask(observations)  # type: ignore[operator]
        logits = params[:, : self.num_masked].masked_fill(~legal, ILLEGAL)
        return torch.cat([logits, params[:, self.num_masked :]], -1)

    def _with_log_std(self, params: Tensor) -> Tensor:
        if self.num_log_stds:
            means, log_stds = params[:, : -self.num_log_stds], params[:, -self.num_log_stds :]
            return torch.cat([means, log_stds.clamp(*LOG_STD_BOUNDS)], -1)
        return torch.cat([params, self.log_std.expand(params.shape[0], -1)], -1) if self.has_log_std else params


class LSTM(nn.Module):
    """A recurrent policy: ``policy`` with a long short-term memory between its hidden layers and its outputs.

    The state is zero where an episode begins, and stands still where a row is masked out: it waits for its turn, or is
    out of the game. Gradients go back to the beginning of a rollout and no further.

    Args:
        policy: a module with ``encode_observations`` and ``decode_actions``, and ``hidden_size`` features between them.

    Source: Hochreiter & Schmidhuber (1997); PufferLib 3's LSTMWrapper; weights begin as in CleanRL's
    ``ppo_atari_lstm.py``.
    """

    def __init__(self, policy: Any) -> None:
        super().__init__()
        if not (hasattr(policy, "encode_observations") and getattr(policy, "shared", True)):
            raise APIUsageError(
                "LSTM() needs a policy with encode_observations and decode_actions, and one trunk for both outputs: of "
                "MLP, shared=True."
            )
        self.policy = policy
        self.squash = bool(getattr(policy, "squash", False))
        self.hidden_size = int(policy.hidden_size)
        self.cell = nn.LSTMCell(self.hidden_size, self.hidden_size)
        for name, parameter in self.cell.named_parameters():
            nn.init.zeros_(parameter) if "bias" in name else nn.init.orthogonal_(parameter, 1.0)

    @property
    def encoder(self) -> nn.Module | None:
        """The policy's own, if it has one."""
        return getattr(self.policy, "encoder", None)

    def initial_state(self, rows: int) -> Tensor:
        """What an episode begins with, for the hidden state and that of the cell: zeros ``(2, rows, hidden_size)``."""
        return torch.zeros((2, rows, self.hidden_size), device=self.cell.weight_hh.device)

    def forward_eval(self, observations: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step: action parameters and values of ``observations (rows, *shape)``, and the next state."""
        state = torch.stack(self.cell(self.policy.encode_observations(observations), (state[0], state[1])))
        return *self._decode(state[0], observations), state

    def forward(self, observations: Tensor, state: Tensor, acts: Tensor, ends: Tensor) -> tuple[Tensor, Tensor]:
        """Many steps, as in training.

        Args:
            observations: ``(steps, rows, *shape)``.
            state: ``(2, rows, hidden_size)``, before the first step.
            acts: ``(steps, rows)`` bool; the state of a row that does not act stands still.
            ends: ``(steps, rows)`` bool: whether the row's episode ends in the step.

        Returns:
            Action parameters and values, ``(steps * rows, ...)``.
        """
        flat = observations.flatten(0, 1)
        features = self.policy.encode_observations(flat).unflatten(0, observations.shape[:2])
        all_act = bool(acts.all())
        goes_on = (~ends).to(features.dtype)[:, :, None]
        h, c = state
        outputs = []
        for x, act, on, any_ends in zip(features, acts[:, :, None], goes_on, ends.any(1).tolist(), strict=True):
            new_h, new_c = self.cell(x, (h, c))
            outputs.append(new_h)
            h, c = (new_h, new_c) if all_act else (torch.where(act, new_h, h), torch.where(act, new_c, c))
            if any_ends:
                h, c = h * on, c * on
        return self._decode(torch.cat(outputs), flat)

    def _decode(self, hidden: Tensor, observations: Tensor) -> tuple[Tensor, Tensor]:
        output, values = self.policy.decode_actions(hidden)
        params = action_params(output)
        mask_actions = getattr(self.policy, "mask_actions", None)
        return (params if mask_actions is None else mask_actions(params, observations)), values


class Actor:
    """Acts with ``policy`` in ``rows`` rows, and keeps their states where it is recurrent.

    Args:
        policy: any that the trainer takes; it is recurrent if it has an ``initial_state``, as `LSTM` has.
        normalizer: of observations, or None.
        device: where the policy is.
        forward: in place of its ``forward_eval``: the same, compiled.

    Attributes:
        state: ``(2, rows, hidden_size)``; None where the policy has no memory.
    """

    def __init__(
        self,
        policy: nn.Module,
        rows: int,
        normalizer: nn.Module | None = None,
        device: Any = "cpu",
        forward: Callable[..., Any] | None = None,
    ) -> None:
        self._forward = getattr(policy, "forward_eval", policy) if forward is None else forward
        self._normalizer = normalizer
        self._device = torch.device(device)
        self.state: Tensor | None = policy.initial_state(rows) if is_recurrent(policy) else None  # type: ignore[operator]

    def act(
        self, observations: Tensor, masks: NDArray[np.bool_], rows: slice | Tensor = slice(None)
    ) -> tuple[Tensor, Tensor]:
        """Action parameters and values ``(rows,)`` of one step's observations; the states of those that act go on."""
        if self.state is None:
            return self.look(observations)
        before = self.state[:, rows]
        params, values, after = self._step(observations, before)
        if not masks.all():
            after = torch.where(torch.from_numpy(masks).to(self._device)[None, :, None], after, before)
        self.state[:, rows] = after
        return params, values

    def look(self, observations: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same from ``state``, which is left as it is."""
        return self._step(observations, state)[:2]

    def forget(self, ended: NDArray[np.bool_], rows: slice = slice(None)) -> None:
        """Set the states of the rows whose episode ended to zero."""
        if self.state is not None and ended.any():
            self.state[:, rows][:, torch.from_numpy(ended).to(self._device)] = 0.0

    def _step(self, observations: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        if self._device.type != "cpu":
            observations = observations.to(self._device, non_blocking=True)
        if self._normalizer is not None:
            observations = self._normalizer(observations)
        result = self._forward(observations) if state is None else self._forward(observations, state)
        return action_params(result[0]), result[1].reshape(-1), result[-1]


def is_recurrent(policy: nn.Module) -> bool:
    """Whether ``policy`` has a state, as `LSTM` does."""
    return hasattr(policy, "initial_state")


def _mask_size(encoder: nn.Module, action_space: Any) -> int:
    """Logits that an ``action_mask`` in the observations is for; 0 where there is none."""
    size = encoder.mask_size if isinstance(encoder, StructuredEncoder) else 0
    distribution = action_distribution(action_space)
    logits = distribution.num_params - 2 * distribution.num_log_stds
    if size not in (0, logits):
        raise APIUsageError(
            f"observation[{ACTION_MASK!r}] has {size} elements, but {action_space} has {logits} choices; it takes one "
            "for each. (A mask of something else needs another name.)"
        )
    return size


def load_policy(config: Config, env: PufferEnv) -> MLP | LSTM:
    """The network of ``config.policy`` for the spaces of ``env``, initialized from ``config.train.seed``."""
    # Before anything is drawn: an orthogonal matrix differs in its last bits with the number of threads.
    torch.set_num_threads(config.train.torch_threads)
    torch.manual_seed(config.train.seed)
    settings = dataclasses.asdict(config.policy)
    lstm = settings.pop("lstm")
    policy = MLP(env, **settings, normalize=config.train.normalize_observations)
    return LSTM(policy) if lstm else policy
