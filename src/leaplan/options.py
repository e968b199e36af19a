"""What verbs take on their command lines: each function here is a `type` of argparse."""

import argparse
from typing import Any


def at_least_one(text: str) -> int:
    """Return a whole number of 1 or more; see `whole`."""
    return whole(text, 1)


def whole(text: str, least: int = 0) -> int:
    """Return a whole number.

    Raises:
        argparse.ArgumentTypeError: It is less than `least`.
    """
    value = int(text)
    if value < least:
        raise argparse.ArgumentTypeError(f"{value} is not at least {least}")
    return value


def above_zero(text: str) -> float:
    """Return a number above 0.

    Raises:
        argparse.ArgumentTypeError: It is 0 or less, or not a number.
    """
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def pair(text: str) -> tuple[str, Any]:
    """Return key and value of "KEY=VALUE"; the value is read as YAML.

    Raises:
        argparse.ArgumentTypeError: It has another form.
    """
    import yaml

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    return key, yaml.safe_load(value)
