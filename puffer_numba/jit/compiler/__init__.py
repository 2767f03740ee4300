"""From an author's functions to parallel kernels: what Numba is told, and how it is kept fast and cacheable."""
