"""Long studies, each a script (``python -m bench.studies.NAME``): the tables of README.md and docs/, and more."""
