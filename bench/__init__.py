"""Measurements. ``pytest bench/`` runs the suites of this folder with pytest-benchmark; ``studies`` take longer."""
