"""Looking for mistakes in an environment: `check` for one that is compiled, `check_python` for any other.

(Not named ``check``: `puffer_numba.check` is the function.)
"""

from puffer_numba.checks.findings import Finding, print_findings
from puffer_numba.checks.native import check

__all__ = ["Finding", "check", "print_findings"]
