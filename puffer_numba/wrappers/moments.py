"""Mean and variance of samples that come in batches: the formula that all running normalization shares."""

from __future__ import annotations

from typing import Any


def merged(mean: Any, var: Any, count: Any, batch_mean: Any, batch_var: Any, batch_count: Any) -> tuple[Any, Any]:
    """Mean and variance of two sets of samples together (Chan, Golub & LeVeque, 1983).

    Args:
        mean, var, count: of the first set; var is the mean square difference from the mean.
        batch_mean, batch_var, batch_count: of the second. Numbers, arrays or tensors, also in compiled code.
    """
    total = count + batch_count
    delta = batch_mean - mean
    squares = var * count + batch_var * batch_count + delta * delta * count * batch_count / total
    return mean + delta * batch_count / total, squares / total
