"""`Program` to the text that `parse` reads, and to HTML that people read."""

import json
from collections.abc import Iterable
from html import escape

from leaplan.programs.language import (
    LEAP,
    NONE,
    Body,
    Condition,
    ForEach,
    If,
    Language,
    Program,
    Repeat,
    Statement,
    SubAction,
    While,
)
from leaplan.programs.lex import BARE

KEYWORDS = frozenset(("objects", "assume", "repeat", "while", "if", "else", "for", "not"))  # quoted as names

#: For pages that show several fragments: give it once, and `styled=False` to each.
STYLE = """<style>
.leap-program { font: 15px/1.5 system-ui, sans-serif; }
.leap-program ol { margin: 0; padding-left: 1.8em; }
.leap-program .leap-name, .leap-program .leap-verb { font-weight: 600; }
.leap-program .leap-object { color: #14507a; }
.leap-program .leap-hand { color: #777; font-size: 85%; }
.leap-program .leap-control { color: #8a3b00; }
.leap-condition { border-radius: 8px; padding: 0 6px; font-size: 80%; white-space: nowrap; display: inline-block; }
.leap-before, .leap-assumed, .leap-tested { background: #eef0f3; }
.leap-after { background: #e2f2e4; }
.leap-condition.leap-not { text-decoration: underline dotted #b00020; }
</style>
"""


def to_text(program: Program) -> str:
    """Return the program in the text form: one statement a line, blocks indented by two spaces, a line end last."""
    lines = [f"program {name_text(program.verb)}({_names(program.arguments)}) {{"]
    if program.objects:
        lines.append(f"  objects {_names(program.objects)};")
    if program.assumes:
        lines.append(f"  assume {_conditions(program.assumes)};")
    _write_body(program.body, "  ", lines)
    return "\n".join([*lines, "}\n"])


def name_text(name: str) -> str:
    """Return `name` as the text form writes it: in double quotes unless it is one word and no keyword."""
    bare = name.isalpha() or BARE.fullmatch(name)
    return name if bare and name not in KEYWORDS else json.dumps(name, ensure_ascii=False)


def condition_text(condition: Condition) -> str:
    """Return `condition` as both forms of a program write it, such as `not in(tomato, "oil bottle")`."""
    text = f"{name_text(condition.predicate)}({_names(condition.arguments)})"
    return text if condition.holds else f"not {text}"


def given(action: SubAction) -> tuple[str, ...]:
    """Return the arguments that are written: () to (A, B), with "none" for A only where B is given."""
    if action.second != NONE:
        return (action.first, action.second)
    return (action.first,) if action.first != NONE else ()


def _names(names: Iterable[str]) -> str:
    return ", ".join(map(name_text, names))


def _conditions(conditions: Iterable[Condition]) -> str:
    return ", ".join(map(condition_text, conditions))


def _write_body(body: Body, indent: str, lines: list[str]) -> None:
    for statement in body:
        if isinstance(statement, SubAction):
            lines.append(f"{indent}{_sub_action(statement)};")
            continue
        ending = ""
        for opening, block in _blocks(statement):
            lines.append(f"{indent}{ending}{opening} {{")
            _write_body(block, f"{indent}  ", lines)
            ending = "} "
        lines.append(f"{indent}}}")


def _sub_action(action: SubAction) -> str:
    hand = f" {action.hand}" if action.hand != NONE else ""
    before = f" [pre: {_conditions(action.before)}]" if action.before else ""
    after = f" [post: {_conditions(action.after)}]" if action.after else ""
    return f"{name_text(action.verb)}({_names(given(action))}){hand}{before}{after}"


def _blocks(statement: Statement) -> list[tuple[str, Body]]:
    """Return the blocks of a control statement, each with the words before its brace."""
    match statement:
        case Repeat(times, body):
            return [(f"repeat {times}", body)]
        case While(condition, most, body):
            return [(f"while {condition_text(condition)} max {most}", body)]
        case ForEach(variable, objects, body):
            return [(f"for each {name_text(variable)} in ({_names(objects)})", body)]
        case If(condition, then, otherwise):
            blocks = [(f"if {condition_text(condition)}", then)]
            return [*blocks, ("else", otherwise)] if otherwise else blocks
    raise TypeError(f"no statement: {type(statement).__name__}")


def to_html(program: Program, language: Language = LEAP, styled: bool = True) -> str:
    """Return an HTML fragment: nested lists, conditions as badges, meanings of verbs as tool tips.

    All names are escaped. The fragment needs no other file; its classes begin with "leap-".

    Args:
        language: Where the meanings of verbs are looked up.
        styled: Put `STYLE` in front.
    """
    lines = ['<div class="leap-program">']
    lines.append(f'<div class="leap-head">{_span("name", program.verb)}({_objects(program.arguments)})</div>')
    if program.objects:
        lines.append(f'<div class="leap-objects">with {_objects(program.objects)}</div>')
    if program.assumes:
        lines.append(f'<div class="leap-assumes">assuming {_badges(program.assumes, "assumed")}</div>')
    _write_list(program.body, language, lines)
    return (STYLE if styled else "") + "\n".join([*lines, "</div>\n"])


def _write_list(body: Body, language: Language, lines: list[str]) -> None:
    lines.append("<ol>")
    for statement in body:
        if isinstance(statement, SubAction):
            lines.append(f'<li class="leap-sub-action">{_html_action(statement, language)}</li>')
            continue
        lines.append(f'<li class="leap-{_kind(statement)}">')
        for opening, block in _html_blocks(statement):
            lines.append(f'<div class="leap-control">{opening}</div>')
            _write_list(block, language, lines)
        lines.append("</li>")
    lines.append("</ol>")


def _html_action(action: SubAction, language: Language) -> str:
    verb = language.verbs.get(action.verb)
    title = f' title="{escape(verb.meaning)}"' if verb and verb.meaning else ""
    parts = [
        _badges(action.before, "before"),
        f'<span class="leap-verb"{title}>{escape(action.verb)}</span>({_objects(given(action))})',
        _span("hand", f"{action.hand} hand" if action.hand != "both" else "both hands") if action.hand != NONE else "",
        _badges(action.after, "after"),
    ]
    return " ".join(part for part in parts if part)


def _html_blocks(statement: Statement) -> list[tuple[str, Body]]:
    match statement:
        case Repeat(times, body):
            return [(f"repeat {times} times", body)]
        case While(condition, most, body):
            return [(f"while {_badges((condition,), 'tested')}, at most {most} times", body)]
        case ForEach(variable, objects, body):
            return [(f"for each {_span('object', variable)} in {_objects(objects)}", body)]
        case If(condition, then, otherwise):
            blocks = [(f"if {_badges((condition,), 'tested')}", then)]
            return [*blocks, ("else", otherwise)] if otherwise else blocks
    raise TypeError(f"no statement: {type(statement).__name__}")


def _kind(statement: Statement) -> str:
    return "for-each" if isinstance(statement, ForEach) else type(statement).__name__.lower()


def _span(kind: str, text: str) -> str:
    return f'<span class="leap-{kind}">{escape(text)}</span>'


def _objects(names: Iterable[str]) -> str:
    return ", ".join(_span("object", name) for name in names)


def _badges(conditions: Iterable[Condition], kind: str) -> str:
    return " ".join(
        f'<span class="leap-condition leap-{kind}{"" if each.holds else " leap-not"}">{escape(str(each))}</span>'
        for each in conditions
    )
