"""Many environments at once, behind one `PufferEnv`.

::

    env = make("gym:LunarLander-v3", num_envs=8, num_workers=2)

- `make`: from a name, function or class
- `Multiprocessing`, `Serial`: the backends
- `env_creator`: what makes the environment of a name
"""

from puffer_numba.vector.creators import env_creator
from puffer_numba.vector.factory import make
from puffer_numba.vector.processes import Multiprocessing, WorkerError
from puffer_numba.vector.serial import Serial, VectorEnv

__all__ = ["Multiprocessing", "Serial", "VectorEnv", "WorkerError", "env_creator", "make"]
