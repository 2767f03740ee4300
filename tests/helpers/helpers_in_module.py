"""Helpers that tests reach as ``module.f``; the second calls the first."""

HALF = 0.5


def halve(x):
    return x * HALF


def quarter(x):
    return halve(halve(x))
