"""Programs to text and HTML."""

from html.parser import HTMLParser

from hypothesis import given, settings

from leaplan.programs.language import Condition, ForEach, If, Program, Repeat, SubAction, While
from leaplan.programs.parse import parse
from leaplan.programs.render import STYLE, condition_text, to_html, to_text
from tests.programs.strategies import ODD, programs

HOSTILE = '<script>alert("x")</script>&\'><img src=x onerror=y>'


@settings(max_examples=40)
@given(programs())
def test_text_is_read_back_as_the_same_program(program):
    assert parse(to_text(program)) == program


@settings(max_examples=40)
@given(programs(ODD))
def test_text_in_a_language_of_awkward_words_is_read_back_as_the_same_program(program):
    assert parse(to_text(program), ODD) == program


@settings(max_examples=40)
@given(programs())
def test_text_is_one_line_for_each_statement_and_ends_with_a_line_end(program):
    text = to_text(program)
    assert text.endswith("}\n")
    assert to_text(parse(text)) == text
    assert all(line.rstrip() == line and line for line in text[:-1].split("\n"))


def test_text_looks_as_documented():
    shut = Condition("open", ("fridge",), False)
    program = Program(
        "open",
        ("fridge",),
        ("oil bottle", "rack:drying"),
        (shut,),
        (
            SubAction("grasp", "fridge", "none", "right", (Condition("free", ("right",)),), (shut,)),
            SubAction("search", "none", "oil bottle"),
            While(shut, 3, (Repeat(2, (SubAction("move", "fridge"),)),)),
            If(shut, (SubAction("hold", "fridge"),), (SubAction("release", "fridge", "none", "both"),)),
            If(shut, ()),
            ForEach("if", ("oil bottle", "rack:drying"), (SubAction("inspect", "if"),)),
        ),
    )
    assert to_text(program) == (
        "program open(fridge) {\n"
        '  objects "oil bottle", rack:drying;\n'
        "  assume not open(fridge);\n"
        "  grasp(fridge) right [pre: free(right)] [post: not open(fridge)];\n"
        '  search(none, "oil bottle");\n'
        "  while not open(fridge) max 3 {\n"
        "    repeat 2 {\n"
        "      move(fridge);\n"
        "    }\n"
        "  }\n"
        "  if not open(fridge) {\n"
        "    hold(fridge);\n"
        "  } else {\n"
        "    release(fridge) both;\n"
        "  }\n"
        "  if not open(fridge) {\n"
        "  }\n"
        '  for each "if" in ("oil bottle", rack:drying) {\n'
        '    inspect("if");\n'
        "  }\n"
        "}\n"
    )


def test_names_are_quoted_only_where_they_must_be():
    condition = Condition("in", ("rack:drying", 'the "big" one', "not"), False)
    assert condition_text(condition) == r'not in(rack:drying, "the \"big\" one", "not")'


class Page(HTMLParser):
    """Elements, attributes and text of a fragment; fails on tags that are not closed in order."""

    def __init__(self, fragment: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.classes: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.deepest = 0
        self.feed(fragment)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attributes}
        self.classes += (dict(attributes).get("class") or "").split()
        self.deepest = max(self.deepest, self.open.count("ol"))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_hostile_names_stay_text_in_html():
    condition = Condition(HOSTILE, (HOSTILE,), False)
    action = SubAction(HOSTILE, HOSTILE, HOSTILE, HOSTILE, (condition,), (condition,))
    loop = ForEach(HOSTILE, (HOSTILE,), (While(condition, 2, (If(condition, (action,)),)),))
    page = Page(to_html(Program(HOSTILE, (HOSTILE,), (HOSTILE,), (condition,), (loop,)), styled=False))
    assert set(page.tags) <= {"div", "span", "ol", "li"}
    assert page.attributes <= {"class", "title"}
    assert page.text.count(HOSTILE) == 19


@settings(max_examples=40)
@given(programs())
def test_html_is_closed_and_shows_every_name_in_nested_lists(program):
    page = Page(to_html(program, styled=False))
    assert set(page.tags) <= {"div", "span", "ol", "li"}
    assert all(name in page.text for name in (program.verb, *program.declared))
    assert page.classes.count("leap-sub-action") == to_text(program).count(";\n") - bool(program.objects) - bool(
        program.assumes
    )
    assert page.deepest == depth(program.body)


def depth(body) -> int:
    inner = [
        block
        for statement in body
        if not isinstance(statement, SubAction)
        for block in ((statement.then, statement.otherwise) if isinstance(statement, If) else (statement.body,))
        if block
    ]
    return 1 + max(map(depth, inner), default=0)


def test_html_shows_conditions_as_badges_and_meanings_as_tool_tips():
    action = SubAction(
        "grasp", "cup", "none", "left", (Condition("free", ("left",)),), (Condition("hot", ("cup",), False),)
    )
    fragment = to_html(Program("take", ("cup",), body=(action,)), styled=False)
    assert '<span class="leap-condition leap-before">free(left)</span>' in fragment
    assert '<span class="leap-condition leap-after leap-not">not hot(cup)</span>' in fragment
    assert '<span class="leap-verb" title="take hold of A (from B)">grasp</span>' in fragment
    odd = to_html(Program("x", body=(SubAction("else", "cup", "for"),)), ODD, styled=False)
    assert 'title="put &quot;&lt;i&gt;&quot; down"' in odd


def test_html_is_self_contained():
    program = Program("take", ("cup",))
    fragment = to_html(program)
    assert fragment == STYLE + to_html(program, styled=False)
    assert not [word for word in ("http", "src=", "url(", "<script", "<link") if word in fragment]
