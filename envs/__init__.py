"""The suite: one environment in each file. Make them by name: ``puffer_numba.make("cartpole", num_envs=4096)``."""
