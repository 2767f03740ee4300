"""``python -m puffer_numba``: the same as the command ``puffer``."""

from puffer_numba.cli import main

raise SystemExit(main())
