"""The JSON Schema of programs, in the part of JSON Schema that OpenAI's strict structured outputs accept."""

import re
from typing import Any

from leaplan.programs.language import HANDS, LEAP, NONE, OTHER, Language
from leaplan.programs.render import name_text
from leaplan.programs.words import TIMES

MOST_OBJECTS = 800  # names in one enumeration; with more objects any name passes and the checker decides


def schema(language: Language = LEAP, bounds: bool = True) -> dict[str, Any]:
    """Return the schema of the JSON form of the programs of `language`.

    Every object lists all its keys as required and allows no others; statements are recursive by "$ref". Verbs,
    hands and, by a pattern, predicates are the language's own, and so are the objects that a program declares
    where the language has a list of them. The nesting of blocks is not limited here but in `from_json`.

    Args:
        language: Whose programs.
        bounds: Say "pattern", "minimum" and "maximum", which some compatible servers refuse; `from_json` checks
            all three in any case.
    """
    return {
        **_object(
            program={"type": "string", "description": "The name of the action that the program does."},
            arguments=_list("declared", "What the action is done to."),
            objects=_list("declared", "Further objects that the body names."),
            assume=_list("condition", "What is taken to hold before the program begins."),
            body={"$ref": "#/$defs/body"},
        ),
        "$defs": {
            "body": _list("statement", "Statements in order."),
            "statement": {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in ("do", "repeat", "while", "if", "each")]},
            **_statements(language, bounds),
            "condition": _condition(language, bounds),
            "declared": _declared(language),
        },
    }


def _statements(language: Language, bounds: bool) -> dict[str, Any]:
    name, body, condition = {"type": "string"}, {"$ref": "#/$defs/body"}, {"$ref": "#/$defs/condition"}
    times = {"type": "integer", **({"minimum": 1, "maximum": TIMES} if bounds else {})}
    return {
        "do": _object(
            do={"type": "string", "enum": list(language.verbs)},
            a={"type": "string", "description": f"The object acted on or the tool, or {NONE}."},
            b={"type": "string", "description": f"The second object, target or surface, or {NONE}."},
            hand={"type": "string", "enum": [*HANDS, NONE]},
            pre=_list("condition", "What must hold before."),
            post=_list("condition", "What has changed after."),
        ),
        "repeat": _object(repeat=times, body=body),
        "while": _object(**{"while": condition}, most=times, body=body),
        "if": _object(**{"if": condition, "then": body, "else": body}),
        "each": _object(
            each={"type": "string", "description": "A new name that stands for each object in turn."},
            **{"in": {"type": "array", "items": name}},
            body=body,
        ),
    }


def _condition(language: Language, bounds: bool) -> dict[str, Any]:
    names = [*language.predicates, *language.opposites]
    kinds = ", ".join(f"{name}({', '.join(of)})" for name, of in language.predicates.items())
    pattern = rf"^(not )?({'|'.join(_literal(name_text(name)) for name in names)})\(.*\)$"
    return {
        "type": "string",
        "description": f"A fact, or 'not ' and a fact. Facts: {kinds}. A hand is left or right.",
        **({"pattern": pattern} if bounds else {}),
    }


def _declared(language: Language) -> dict[str, Any]:
    if not 0 < len(language.objects) <= MOST_OBJECTS:
        return {"type": "string"}
    return {"type": "string", "enum": list(dict.fromkeys((*language.objects, OTHER)))}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _list(of: str, description: str) -> dict[str, Any]:
    return {"type": "array", "description": description, "items": {"$ref": f"#/$defs/{of}"}}


def _literal(text: str) -> str:
    return re.sub(r"([.^$*+?()\[\]{}|\\])", r"\\\1", text)
