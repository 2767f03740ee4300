"""Policies: torch modules from observations ``(rows, *shape)`` to action parameters and values.

The trainer takes any `torch.nn.Module` whose ``forward(observations)`` returns ``(action_params, values)``:
``(rows, num_params)``, as `puffer_numba.pytorch.action_distribution` wants them, and ``(rows,)`` or ``(rows, 1)``.
Where the module has a ``forward_eval``, that is called while experience is collected. PufferLib's policies do as they
are: their ``state`` is left out, and in place of one tensor they may return a tuple of logits, or a Normal.

`LSTM` puts a recurrent layer between the two halves of such a module, as PufferLib's LSTMWrapper does: the module then
has ``encode_observations(observations)``, which returns ``(rows, hidden_size)``, and ``decode_actions(hidden)``.

`MLP` takes structured observations (emulated Dicts, Tuples and so on) apart with a `StructuredEncoder`; a policy of
one's own does so with `puffer_numba.pytorch.nativize_tensor`.
"""

from puffer_numba.models.actor import Actor, is_recurrent
from puffer_numba.models.load import load_policy
from puffer_numba.models.lstm import LSTM
from puffer_numba.models.mlp import ILLEGAL, LOG_STD_BOUNDS, MLP

__all__ = ["ILLEGAL", "LOG_STD_BOUNDS", "LSTM", "MLP", "Actor", "is_recurrent", "load_policy"]
