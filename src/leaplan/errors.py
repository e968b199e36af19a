"""What goes wrong, told to the user: one message that names the place, the value and the next command."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class UserError(Exception):
    """A mistake that the user can mend. The command line prints it without a traceback and exits with 2.

    Args:
        what: What is wrong and where: the file, the value found, the value expected.
        hint: What to do next, preferably a command. Printed on a line of its own.
    """

    def __init__(self, what: str, hint: str = "") -> None:
        self.what = what
        self.hint = hint
        super().__init__(what if not hint else f"{what}\n  {hint}")


class ConfigError(UserError):
    """A configuration key or value that cannot be used."""


@contextmanager
def refused_settings(what: str) -> Iterator[None]:
    """Tell in one message what a library says about a setting that it cannot use, such as "heads: 7" of a width of 128.

    Args:
        what: What is made of the settings inside the block: "the network".

    Raises:
        ConfigError: It cannot be made.
    """
    try:
        yield
    except (ValueError, TypeError, AssertionError, RuntimeError, ArithmeticError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(
            f"{what} cannot be made of these settings: {reason}", "See them with --print_config"
        ) from error


class DataError(UserError):
    """A data file that is missing, malformed, or does not fit the others."""


class ProblemList(DataError):
    """Several problems of the same data, collected before anything is said.

    Args:
        title: What was being read or checked, such as a file or a folder.
        problems: One line each. At most `shown` of them are printed; the rest are counted.
        hint: What to do next.
        shown: How many problems to print.
    """

    def __init__(self, title: str, problems: Sequence[str], hint: str = "", shown: int = 12) -> None:
        self.problems = tuple(problems)
        lines = [f"{title}: {len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"]
        lines += [f"  - {problem}" for problem in self.problems[:shown]]
        if len(self.problems) > shown:
            lines.append(f"  ... and {len(self.problems) - shown} more")
        super().__init__("\n".join(lines), hint)


class CheckpointError(UserError):
    """A checkpoint that does not fit the data or the network."""
