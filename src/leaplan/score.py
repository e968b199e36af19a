"""The verb `score`: anybody's predictions to figures, of plans or, with a `--protocol`, of recognised actions."""

import difflib

from leaplan.errors import ConfigError

PROTOCOLS = ("epic-recognition", "epic-anticipation")
HELP = f"""Two kinds of predictions can be scored:
  plans                                        leaplan score FILE ...                            described below
  recognised or anticipated actions (EPIC)     leaplan score --protocol {PROTOCOLS[0]} FILE ...
                                               leaplan score --protocol {PROTOCOLS[1]} FILE ...
                                               add --help to these
"""


def main(argv: list[str]) -> int:
    """Score the files that `argv` names, and return 0.

    Raises:
        UserError: An unknown protocol, or what the scoring of plans or of actions raises.
    """
    protocol = _protocol(argv)
    if protocol is None:
        if {"-h", "--help"} & set(argv):
            print(HELP)
        from leaplan.planning.score import main as score_plans

        return score_plans(argv)
    if protocol not in PROTOCOLS:
        close = difflib.get_close_matches(protocol, PROTOCOLS, 1)
        nearest = f"; did you mean '{close[0]}'?" if close else ""
        hint = f"Known are {' and '.join(PROTOCOLS)}; plans are scored without one"
        raise ConfigError(f"'{protocol}' is no protocol of score{nearest}", hint)
    from leaplan.recognition.score import main as score_actions

    return score_actions(argv)


def _protocol(argv: list[str]) -> str | None:
    """Return what `--protocol` says, "" where nothing follows it, None without it."""
    for place, word in enumerate(argv):
        if word == "--protocol":
            return argv[place + 1] if place + 1 < len(argv) else ""
        if word.startswith("--protocol="):
            return word.partition("=")[2]
    return None
