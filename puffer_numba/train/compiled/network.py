"""A policy's layers as compiled code reads them: tables of sizes, and of where in memory torch keeps what it trains.

Nothing is copied: kernels read and write the memory of torch's own parameters and of the state of its optimizer. One
machine code is for networks of all depths and widths; tuples of arrays would need another one for each.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numba import carray, types  # type: ignore[attr-defined]
from numba.extending import intrinsic
from numpy.typing import NDArray
from torch import Tensor, nn

from puffer_numba.jit.compiler.announce import trainer_kernel
from puffer_numba.models.mlp import MLP

BLOCK = 256
"""Samples that go through all layers together: their activations and gradients stay in the L2 cache."""
LANES = 64
"""The flat gradient is filled up with zeros to a multiple of this."""

INPUTS, OUTPUTS, WEIGHT, BIAS, PLACE, ACTIVATIONS, IS_FIRST, IS_LAST = range(8)
"""Columns of ``Network.layers``: sizes; addresses of ``weight (outputs, inputs)`` and ``bias (outputs,)``; where their
gradients are in the flat gradient, and the outputs of a block in ``Network.outputs``; whether it is the first of its
trunk, and the last."""
SIZE, VALUE, EXP_AVG, EXP_AVG_SQ, STEP = range(5)
"""Columns of ``Network.parameters``: number of elements; addresses of the parameter and of its optimizer's state."""


class Network(NamedTuple):
    """An `MLP`, and the memory that learning from it takes."""

    layers: NDArray[np.int64]
    """``(layers, 8)``: the one trunk, or the actor's layers and then the critic's."""
    parameters: NDArray[np.int64]
    """``(parameters, 5)``, weight and bias of each layer, as their gradients follow one another."""
    tanh: bool
    """Between the layers; relu otherwise."""
    features: NDArray[np.float32]
    """``(BLOCK * features,)``: of a block, like what follows."""
    outputs: NDArray[np.float32]
    """Of all layers."""
    output_gradients: NDArray[np.float32]
    """The loss's derivatives by these."""
    layer_gradient: NDArray[np.float32]
    """What a block adds to the gradients of a layer."""
    gradient: NDArray[np.float32]
    """Of all parameters, flat; the memory of torch's ``grad`` of each."""


def trunks(policy: MLP) -> list[nn.Sequential]:
    """The networks of ``policy``: one that is shared, or the actor and the critic."""
    return [policy.network] if policy.shared else [policy.actor, policy.critic]


def linear_layers(policy: MLP) -> list[nn.Linear]:
    """In the order of `Network.layers`."""
    return [layer for trunk in trunks(policy) for layer in trunk if isinstance(layer, nn.Linear)]


def trained(policy: MLP) -> list[nn.Parameter]:
    """In the order of `Network.parameters`."""
    return [p for layer in linear_layers(policy) for p in layer.parameters()]


def new_network(policy: MLP) -> Network:
    """The layers of ``policy``, which `puffer_numba.train.compiled.learner.why_not` has nothing to say of, and memory.

    Nothing can be learned before `bind`.
    """
    layers = layer_table(policy)
    inputs, outputs = layers[:, INPUTS], layers[:, OUTPUTS]
    sizes, block = (inputs + 1) * outputs, BLOCK * outputs.sum()
    return Network(
        layers=layers,
        parameters=np.zeros((0, 5), np.int64),
        tanh=any(isinstance(layer, nn.Tanh) for layer in trunks(policy)[0]),
        features=_aligned(BLOCK * inputs[0]),
        outputs=_aligned(block),
        output_gradients=_aligned(block),
        layer_gradient=_aligned(sizes.max()),
        gradient=_aligned(-(-sizes.sum() // LANES) * LANES),
    )


def _aligned(size: int) -> NDArray[np.float32]:
    """Zeros from torch, at a multiple of 64 bytes: a product's last bit may depend on that."""
    return torch.zeros(int(size)).numpy()


def layer_table(policy: MLP) -> NDArray[np.int64]:
    """``Network.layers``, which holds until a parameter's tensor is replaced by another."""
    rows, place, at = [], 0, 0
    for trunk in trunks(policy):
        layers = [layer for layer in trunk if isinstance(layer, nn.Linear)]
        for k, layer in enumerate(layers):
            inputs, outputs = layer.in_features, layer.out_features
            addresses = layer.weight.data_ptr(), layer.bias.data_ptr()
            rows.append([inputs, outputs, *addresses, place, at, k == 0, k == len(layers) - 1])
            place += (inputs + 1) * outputs
            at += BLOCK * outputs
    return np.array(rows, np.int64)


def bind(network: Network, policy: MLP, optimizer: torch.optim.Optimizer) -> Network:
    """``network`` with the addresses as they are now, and the gradients of ``policy`` in its memory.

    Args:
        network: of ``policy``.
        policy: keeps its tensors as long as the network is used.
        optimizer: Adam, and so does its state, which is made where it has none yet, as its first step would.
    """
    first = 0
    for parameter in trained(policy):
        last = first + parameter.numel()
        parameter.grad = torch.from_numpy(network.gradient[first:last]).view_as(parameter)
        first = last
    parameters = np.array([_addresses(p, optimizer) for p in trained(policy)], np.int64)
    return network._replace(layers=layer_table(policy), parameters=parameters)


def _addresses(parameter: Tensor, optimizer: torch.optim.Optimizer) -> list[int]:
    state: dict[str, Tensor] = optimizer.state[parameter]
    if not state:
        state["step"] = torch.zeros((), dtype=torch.float32)
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter.data), torch.zeros_like(parameter.data)
    tensors = parameter, state["exp_avg"], state["exp_avg_sq"], state["step"]
    return [parameter.numel(), *(tensor.data_ptr() for tensor in tensors)]


@intrinsic
def _pointer(typing_context, address):
    """The integer ``address`` as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], context.get_value_type(signature.return_type))

    return types.voidptr(types.int64), generate


@trainer_kernel
def floats_at(address: int, shape: Any) -> NDArray[np.float32]:
    """The float32 numbers at ``address``, of this shape; no copy."""
    return carray(_pointer(address), shape, np.float32)  # type: ignore[call-arg]


@trainer_kernel
def matrix(memory: NDArray[np.float32], at: int, rows: int, columns: int) -> NDArray[np.float32]:
    """``memory`` from ``at`` on, as a matrix; no copy."""
    return memory[at : at + rows * columns].reshape(rows, columns)
