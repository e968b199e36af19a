"""What a language model would answer to `describe-steps`, from the step's own words, and the ways it goes wrong."""

import json


def asked(messages) -> dict[str, str]:
    """Return the lines of the question, such as {"Task": "make tea", "Step": "boil water"}."""
    return dict(line.split(": ", 1) for line in messages[1]["content"].splitlines())


def described(messages) -> dict:
    """Return sentences that are the step's own and all different."""
    step = asked(messages)["Step"].lower()
    verb, _, thing = step.partition(" ")
    thing = thing or "object"
    return {
        "description": f"To {step}, a person reaches for the {thing} and works until it is done.",
        "before": [
            f"The {thing} lies ready and untouched.",
            f"Nothing shows yet that somebody will {verb} the {thing}.",
            f"The hands are empty beside the {thing}.",
        ],
        "after": [
            f"The {thing} has changed, as it does when people {step}.",
            f"The hands let go of the {thing}.",
            f"Traces of the work to {verb} remain around the {thing}.",
        ],
    }


def good(messages) -> str:
    return json.dumps(described(messages))


#: Answers that cannot be used, with a part of what is said about each.
FAULTS = {
    "prose": (lambda right: "I would be glad to describe this step for you!", "holds no whole JSON object"),
    "cut JSON": (lambda right: json.dumps(right)[:-30], "holds no whole JSON object"),
    "two before": (lambda right: json.dumps({**right, "before": right["before"][:2]}), '"before" has 2 sentences'),
    "four after": (lambda right: json.dumps({**right, "after": [*right["after"], "More."]}), '"after" has 4 sentences'),
    "empty": (lambda right: json.dumps({**right, "after": [*right["after"][:2], " "]}), '"after[2]" is empty'),
    "numbers": (lambda right: json.dumps({**right, "before": [1, 2, 3]}), '"before[0]" is a number'),
    "a text": (lambda right: json.dumps({**right, "before": "one. two. three."}), '"before" is a text'),
    "no description": (lambda right: json.dumps({**right, "description": None}), '"description" is missing'),
    "other keys": (lambda right: json.dumps({"states": right["before"]}), '"after" is missing'),
    "repeated": (
        lambda right: json.dumps({**right, "after": [*right["after"][:2], right["before"][0].upper()]}),
        "1 of them repeat another",
    ),
    "long": (lambda right: json.dumps({**right, "description": "very " * 60}), "60 words"),
    "no text": (lambda right: json.dumps({**right, "description": "half \ud800 a sign"}), "no text"),
    "bomb": (lambda right: '{"before": ' + "[" * 100_000, "holds no whole JSON object"),
    "braces": (lambda right: "{" * 200_000, "holds no whole JSON object"),
    "a list": (lambda right: json.dumps([1, 2]), "holds no whole JSON object"),
    "nothing": (lambda right: "", "holds no whole JSON object"),
}


def bad(fault: str, messages) -> str:
    return FAULTS[fault][0](described(messages))


def mends(fault: str):
    """Answers that are wrong at first and right when they are sent back."""
    return lambda messages: good(messages) if len(messages) > 2 else bad(fault, messages)
