"""Program text to `Program` (the grammar is in docs/programs.md). Text is data: nothing in it is executed."""

from collections.abc import Callable
from typing import TypeVar

from leaplan.programs.language import (
    HANDS,
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
from leaplan.programs.lex import ProgramError, Token, fault_at, together, tokens_of
from leaplan.programs.words import DEPTH, FAULTS, ITEMS, STATEMENTS, TEXT, TIMES, Words, tidy

__all__ = ["ProgramError", "parse", "parse_condition"]

Item = TypeVar("Item")
_STATEMENT = 'a sub-action such as grasp(cup), "repeat", "while", "if", "for each" or "}"'
_AFTER_ARGUMENTS = '"left", "right", "both", "[pre:", "[post:" or ";"'


def parse(text: str, language: Language = LEAP) -> Program:
    """Return the program that `text` writes.

    Synonyms of verbs and opposites of predicates become the words they stand for. Whether the program makes
    sense (declared objects, arity, conditions) is not asked here but in `check`.

    Raises:
        ProgramError: The text is not a program; tells of all unknown words up to the first fault of grammar.
    """
    if len(text) > TEXT:
        raise ProgramError(f"the program has {len(text):,} characters; at most {TEXT:,} are allowed")
    return _Parser(text, Words(language)).whole_program()


def parse_condition(text: str, words: Words, path: str = "") -> Condition:
    """Return the condition that `text` writes, such as "not holding(right, cup)".

    Unlike in a program, names of several words need no quotes: language models leave them out.

    Raises:
        ProgramError: The text is not a condition; `path` tells where it stands in the JSON form.
    """
    if len(text) > TEXT:
        raise ProgramError(f"a condition of {len(text):,} characters", path=path)
    return _Parser(text, words, path, loose=True).whole_condition()


class _Parser:
    """Recursive descent over tokens. Unknown words are noted and read over; other faults are raised."""

    def __init__(self, text: str, words: Words, path: str = "", loose: bool = False) -> None:
        self.text, self.words, self.path, self.loose = text, words, path, loose
        self.tokens = tokens_of(text)
        self.at = 0
        self.depth = self.statements = 0
        self.faults: list[ProgramError] = []

    def whole_program(self) -> Program:
        try:
            program = self._program()
            if self._token.kind != "end":
                raise self._expected("nothing after the program")
        except ProgramError as error:
            raise together([*self.faults, error]) from None
        if self.faults:
            raise together(self.faults)
        return program

    def whole_condition(self) -> Condition:
        condition = self._condition()
        if self._token.kind != "end":
            raise self._expected("nothing after the condition")
        if self.faults:
            raise together(self.faults)
        return condition

    # The grammar, from whole to part.

    def _program(self) -> Program:
        self._take_word("program")
        verb, arguments = self._name("the action's name, such as open"), self._arguments()
        self._take("{")
        objects: tuple[str, ...] = ()
        assumes: tuple[Condition, ...] = ()
        while self._is_word("objects", "assume"):
            if self._next().value == "objects":
                objects += self._list(self._item, ";")
            else:
                assumes += self._list(self._condition, ";")
        return Program(verb, arguments, objects, assumes, self._rest_of_block())

    def _block(self, opening: Token) -> Body:
        self._take("{")
        with_block = self.depth = self.depth + 1
        if with_block > DEPTH:
            raise self._fault(opening, f"blocks within blocks deeper than {DEPTH}")
        body = self._rest_of_block()
        self.depth -= 1
        return body

    def _rest_of_block(self) -> Body:
        body: list[Statement] = []
        while not self._skip("}"):
            body.append(self._statement())
        return tuple(body)

    def _statement(self) -> Statement:
        token = self._token
        if token.kind not in ("word", "quoted"):
            raise self._expected(_STATEMENT)
        self.statements += 1
        if self.statements > STATEMENTS:
            raise self._fault(token, f"more than {STATEMENTS} statements")
        keyword = self._next().value if self._is_word("repeat", "while", "if", "for") else ""
        match keyword:
            case "repeat":
                return Repeat(self._times("repeat"), self._block(token))
            case "while":
                return self._while(token)
            case "if":
                return self._if(token)
            case "for":
                return self._for_each(token)
            case _:
                return self._sub_action()

    def _while(self, token: Token) -> While:
        condition = self._condition()
        self._take_word("max")
        return While(condition, self._times("max"), self._block(token))

    def _if(self, token: Token) -> If:
        condition, then = self._condition(), self._block(token)
        if not self._is_word("else"):
            return If(condition, then)
        token = self._next()
        if not self._is_word("if"):
            return If(condition, then, self._block(token))
        self.depth += 1  # "else if" is an "if" in the block of "else"
        if self.depth > DEPTH:
            raise self._fault(token, f"blocks within blocks deeper than {DEPTH}")
        otherwise = (self._statement(),)
        self.depth -= 1
        return If(condition, then, otherwise)

    def _for_each(self, token: Token) -> ForEach:
        self._take_word("each")
        variable = self._name("a name for each object")
        self._take_word("in")
        return ForEach(variable, self._arguments(), self._block(token))

    def _sub_action(self) -> SubAction:
        token = self._token
        name = self._name("a verb")
        if self._token.kind != "(":
            raise self._expected(f'"(" after {token}, or a keyword in place of it')
        verb = self.words.verb(name)
        if verb is None:
            self._note(token, self.words.unknown_verb(name))
        arguments = self._arguments()
        if len(arguments) > 2:
            raise self._fault(token, f"{len(arguments)} arguments; a sub-action has at most two, A and B")
        first, second = (*arguments, NONE, NONE)[:2]
        hand = self._next().value if self._is_word(*HANDS, NONE) else NONE
        before, after = self._conditions()
        if not self._skip(";"):
            raise self._expected('";"' if before or after else _AFTER_ARGUMENTS)
        return SubAction(verb or name, first, second, hand, before, after)

    def _conditions(self) -> tuple[tuple[Condition, ...], tuple[Condition, ...]]:
        found: dict[str, tuple[Condition, ...]] = {}
        while self._token.kind in ("pre", "post"):
            token = self._next()
            if token.kind in found:
                raise self._fault(token, f'a second "[{token.kind}:" for one sub-action')
            found[token.kind] = self._list(self._condition, "]")
        return found.get("pre", ()), found.get("post", ())

    def _condition(self) -> Condition:
        holds = True
        if self._is_word("not"):
            self.at += 1
            holds = False
        token = self._token
        name = self._name("a condition such as open(door)")
        if self._token.kind != "(":
            raise self._expected(f'"(" after {token}')
        predicate = self.words.predicate(name)
        if predicate is None:
            self._note(token, self.words.unknown_predicate(name))
            predicate = (name, True)
        return Condition(predicate[0], self._arguments(), holds == predicate[1])

    def _arguments(self) -> tuple[str, ...]:
        self._take("(")
        return self._list(self._item, ")")

    def _list(self, item: Callable[[], Item], end: str) -> tuple[Item, ...]:
        """Return `item`s with commas between, past `end`; there may be none."""
        start = self._token
        items: list[Item] = []
        if self._skip(end):
            return ()
        while True:
            items.append(item())
            if self._skip(end):
                break
            if not self._skip(","):
                raise self._expected(f'"," or "{end}"')
        if len(items) > ITEMS:
            raise self._fault(start, f"a list of {len(items):,}; at most {ITEMS} are allowed")
        return tuple(items)

    def _item(self) -> str:
        token = self._token
        name = self._name("a name")
        while self.tokens[self.at].kind == "word" == token.kind:
            if not self.loose:
                hint = f'put a name of several words into double quotes: "{name} {self._token.value}"'
                raise self._fault(self._token, f'expected "," or ")", found {self._token}; {hint}')
            name = f"{name} {self._next().value}"
        return name

    def _times(self, what: str) -> int:
        token = self._token
        if token.kind != "word" or not (token.value.isascii() and token.value.isdigit()):
            raise self._expected(f'a number from 1 to {TIMES} after "{what}"')
        self.at += 1
        times = int(token.value[:9])
        if not 1 <= times <= TIMES:
            self._note(token, f'"{what}" must be from 1 to {TIMES}, found {token}')
        return times

    def _name(self, what: str) -> str:
        token = self.tokens[self.at]
        if token.kind not in ("word", "quoted"):
            raise self._expected(what)
        self.at += 1
        try:
            return tidy(token.value)
        except ValueError as error:
            raise self._fault(token, str(error)) from None

    # Tokens.

    @property
    def _token(self) -> Token:
        return self.tokens[self.at]

    def _next(self) -> Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def _is_word(self, *words: str) -> bool:
        token = self.tokens[self.at]
        return token.kind == "word" and token.value in words

    def _skip(self, kind: str) -> bool:
        if self.tokens[self.at].kind != kind:
            return False
        self.at += 1
        return True

    def _take(self, kind: str) -> None:
        if not self._skip(kind):
            raise self._expected(f'"{kind}"')

    def _take_word(self, word: str) -> None:
        if not self._is_word(word):
            raise self._expected(f'"{word}"')
        self.at += 1

    def _expected(self, what: str) -> ProgramError:
        token = self._token
        found = token.value if token.kind == "bad" else str(token)
        return self._fault(token, f"expected {what}, found {found}")

    def _note(self, token: Token, message: str) -> None:
        """Keep a fault that the rest can be read in spite of; the last that is looked for is raised."""
        fault = self._fault(token, message)
        if len(self.faults) + 1 >= FAULTS:
            raise fault
        self.faults.append(fault)

    def _fault(self, token: Token, message: str) -> ProgramError:
        return fault_at(self.text, token.offset, message, self.path)
