"""The subcommands of ``puffer``: a module for each, whose ``run`` takes the arguments and returns the exit code."""
