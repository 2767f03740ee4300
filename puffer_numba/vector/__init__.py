"""Many environments at once, behind one `PufferEnv`.

::

    env = make("gym:LunarLander-v3", num_envs=8, num_workers=2)

- `make`: from a name, function or class
- `Multiprocessing`, `Serial`, `Overlapped`, `Pooled`, `Ray`: the backends
- `SyncVectorEnv`, `AsyncVectorEnv`: the same under Gymnasium's names, for code that has been written for these
- `autotune`: the fastest settings of `make` on this machine
- `env_creator`: what makes the environment of a name
"""

from puffer_numba.naming import env_creator
from puffer_numba.vector.batches import WorkerError
from puffer_numba.vector.factory import make
from puffer_numba.vector.gymnasium_names import AsyncVectorEnv, SyncVectorEnv
from puffer_numba.vector.multiprocessing import Multiprocessing
from puffer_numba.vector.overlap import Overlapped
from puffer_numba.vector.pools import Pooled
from puffer_numba.vector.ray import Ray
from puffer_numba.vector.serial import Serial, VectorEnv
from puffer_numba.vector.tuning import Autotuned, autotune

__all__ = [
    "AsyncVectorEnv",
    "Autotuned",
    "Multiprocessing",
    "Overlapped",
    "Pooled",
    "Ray",
    "Serial",
    "SyncVectorEnv",
    "VectorEnv",
    "WorkerError",
    "autotune",
    "env_creator",
    "make",
]
