"""Times and probabilities as people write and read them."""

import re

from leaplan.errors import ConfigError

_TIME = re.compile(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?|\.\d+)")


def seconds_of(text: str, what: str = "a time") -> float:
    """Return seconds from "83.5", "1:23.5" or "0:01:23.5".

    Args:
        text: As given.
        what: Begins the message, such as "--start".

    Raises:
        ConfigError: It is no time.
    """
    found = _TIME.fullmatch(text.strip())
    if found is None:
        raise ConfigError(f"{what} {text!r} is no time", "Give seconds, m:ss or h:mm:ss, such as 83.5, 1:23.5, 0:01:23")
    hours, minutes, seconds = (float(part or 0) for part in found.groups())
    if (found[2] and seconds >= 60) or (found[1] and minutes >= 60):
        raise ConfigError(f"{what} {text!r} is no time: minutes and seconds end at 59", "Give seconds, m:ss or h:mm:ss")
    return 3600 * hours + 60 * minutes + seconds


def as_seconds(given: object, what: str = "a time") -> float:
    """Return seconds from a number, or from text as `seconds_of` reads it.

    Raises:
        ConfigError: It is no time.
    """
    if isinstance(given, str):
        return seconds_of(given, what)
    if isinstance(given, int | float) and 0 <= given < float("inf"):
        return float(given)
    raise ConfigError(f"{what} {given!r} is no time", "Give seconds, m:ss or h:mm:ss, such as 83.5, 1:23.5, 0:01:23")


def clock(seconds: float) -> str:
    """Return seconds as people write them, "1:23", "1:23.5" or "1:01:23"."""
    tenths = round(10 * seconds)
    whole, rest = divmod(tenths, 10)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    ending = f".{rest}" if rest else ""
    if hours:
        return f"{hours}:{minute:02}:{second:02}{ending}"
    return f"{minute}:{second:02}{ending}"


def percent(probability: float) -> str:
    """Return a probability as people read it, "61 %" or "< 1 %"."""
    return "< 1 %" if 0 < probability < 0.005 else f"{100 * probability:.0f} %"
