"""Cutting, peeling, breaking, grating, crushing, dividing: one thing becomes several."""

from leaplan.programs.templates.nouns import BARE_PEELED, PACKAGES
from leaplan.programs.templates.template import Template, carry, get, lay


def _cut(times: int, place: str = "TO") -> str:
    return (get("THING", "left") + f"move(THING, {place}) left; hold(THING, {place}) left; " + get("TOOL")
            + f"move(TOOL, THING) right; repeat {times} {{ position(TOOL, THING) right; use(TOOL, THING) right "
            "[post: cut(THING)]; } ")  # fmt: skip


_TEAR = get("THING", "both") + "repeat 2 { move(THING) both [post: cut(THING)]; } release(THING) right; "
_PACKAGED = PACKAGES | {"tape", "label", "sheets", "napkin", "cloth", "box"}

TEMPLATES = (
    Template(("cut",), get("THING", "left") + "hold(THING) left; " + get("TOOL") + "move(TOOL, THING) right; "
        "use(TOOL, THING) right [post: cut(THING)]; release(TOOL) right;", nouns=_PACKAGED - {"pasta", "rice"},
        tools=("scissors", "knife")),
    Template(("cut",), get("TOOL") + "reach(THING) left; grasp(THING, FROM) left; move(TOOL, THING) right; "
        "repeat 2 { use(TOOL, THING) right [post: cut(THING)]; } disassemble(THING, FROM) left "
        "[post: not on(THING, FROM)]; release(TOOL) right;", needs=("FROM",), tools=("knife", "scissors")),
    Template(("cut",), _cut(6, "board:chopping") + "release(TOOL, board:chopping) right; move(THING, board:chopping) "
        "left; release(THING, board:chopping) left [post: on(THING, board:chopping)];",
        words=("chop", "chopping", "dice", "dicing", "julienne", "mince"), tools=("knife", "slicer")),
    Template(("cut",), _cut(4, "board:chopping") + "release(TOOL) right; hold(THING, board:chopping) left;",
        words=("slice", "slicing", "slices"), tools=("knife", "slicer", "cutter:pizza")),
    Template(("cut",), _cut(1, "board:chopping") + "release(TOOL, board:chopping) right; release(THING, "
        "board:chopping) "
        "left;", words=("half", "halve", "halves", "two"), tools=("knife",)),
    Template(("cut",), _cut(3) + lay("TOOL", "TO") + "release(THING, TO) left [post: on(THING, TO)];", needs=("TO",),
        tools=("knife", "scissors")),
    Template(("cut",), get("TOOL") + "move(TOOL, THING) right; repeat 3 { use(TOOL, THING) right [post: cut(THING)]; } "
        "release(TOOL) right;", nouns=frozenset({"pizza", "pie", "cake", "omelette"}),
        tools=("cutter:pizza", "knife")),
    Template(("cut",), _cut(3, "board:chopping") + "release(TOOL, board:chopping) right; release(THING, "
        "board:chopping) "
        "left [post: on(THING, board:chopping)];", tools=("knife", "scissors")),
    Template(("cut",), get("THING", "left") + "hold(THING) left; " + get("TOOL") + "repeat 3 { use(TOOL, THING) right "
        "[post: cut(THING)]; } release(TOOL) right;", tools=("knife", "scissors")),
    Template(("peel",), get("THING", "left") + "hold(THING) left; " + get("TOOL") + "move(TOOL, THING) right; "
        "while on(skin, THING) max 5 { position(THING) left; use(TOOL, THING) right [post: not on(skin, THING)]; } "
        "release(TOOL) right;", needs=("TOOL",)),
    Template(("peel",), get("THING", "left") + "hold(THING) left; while on(skin, THING) max 4 { reach(skin) right; "
        "grasp(skin, THING) right; disassemble(skin, THING) right [post: not on(skin, THING)]; "
        "release(skin) right; }", nouns=BARE_PEELED),
    Template(("peel",), get("FROM", "left") + "hold(FROM) left; repeat 3 { reach(THING) right; grasp(THING, "
        "FROM) right; "
        "disassemble(THING, FROM) right [post: not on(THING, FROM)]; release(THING) right; }", needs=("FROM",)),
    Template(("peel",), get("THING", "left") + "hold(THING) left; " + get("TOOL") + "move(TOOL, THING) right; "
        "while on(skin, THING) max 5 { position(THING) left; use(TOOL, THING) right [post: not on(skin, THING)]; } "
        "release(TOOL) right;", nouns=frozenset({"carrot", "potato", "cucumber", "courgette", "apple", "ginger",
        "pear", "squash", "mango", "aubergine", "asparagus", "celery"}), tools=("peeler:potato", "knife")),
    Template(("peel",), "repeat 3 { reach(THING) right; grasp(THING) right; move(THING) right; release(THING) "
        "right; }"),
    Template(("break",), get("THING") + "move(THING, TO) right; position(THING, TO) right; "
        "disassemble(THING, shell:egg) right [post: open(THING)]; release(THING, TO) right [post: in(THING, TO)];",
        nouns=frozenset({"egg"}), to="bowl"),
    Template(("break", "divide"), get("TOOL") + "move(TOOL, THING) right; repeat 3 { use(TOOL, THING) right "
        "[post: cut(THING)]; } release(TOOL) right;", needs=("TOOL",)),
    Template(("break",), get("TOOL") + "move(TOOL, THING) right; repeat 4 { use(TOOL, THING) right [post: "
        "cut(THING)]; } "
        "release(TOOL) right;", nouns=frozenset({"chicken", "meat", "rice", "noodle", "beef", "tofu", "fish"}),
        tools=("spatula", "fork", "spoon")),
    Template(("break", "rip"), get("THING", "both") + "move(THING) both [post: cut(THING)]; "
        + carry("THING", "TO", "right"), needs=("TO",)),
    Template(("break",), get("THING", "both") + "position(THING) both; move(THING) both [post: cut(THING)]; "
        "release(THING) left;"),
    Template(("rip",), get("FROM", "left") + "reach(THING) right; grasp(THING, FROM) right; disassemble(THING, FROM) "
        "right [post: not on(THING, FROM)]; move(THING) right;", needs=("FROM",)),
    Template(("rip",), _TEAR + "hold(THING) left;"),
    Template(("grate",), get("TOOL", "left") + "hold(TOOL) left; " + get("THING") + "move(THING, TOOL) right; "
        "repeat 6 { move(THING, TOOL) right [post: cut(THING), in(THING, TO)]; } release(THING) right;",
        needs=("TO",), tools=("grater",)),
    Template(("grate",), get("TOOL", "left") + "hold(TOOL) left; " + get("THING") + "move(THING, TOOL) right; "
        "repeat 6 { move(THING, TOOL) right [post: cut(THING)]; } release(THING) right;",
        tools=("grater", "slicer")),
    Template(("crush",), get("THING", "both") + "move(THING) both; repeat 2 { hold(THING) both; } release(THING) both;",
        nouns=frozenset({"bottle", "can", "box", "package", "paper", "bag", "foil"})),
    Template(("crush",), get("THING", "left") + get("TOOL") + "assemble(THING, TOOL) left [post: in(THING, TOOL)]; "
        "release(THING, TOOL) left; repeat 2 { hold(TOOL) right [post: cut(THING)]; } release(TOOL) right;",
        nouns=frozenset({"garlic"}), tools=("presser",)),
    Template(("crush",), get("TOOL") + "move(TOOL, THING) right; repeat 5 { use(TOOL, THING) right [post: "
        "cut(THING)]; } "
        "release(TOOL) right;", tools=("pestle", "masher", "fork")),
    Template(("divide",), get("THING", "both") + "disassemble(THING, FROM) both [post: not on(THING, FROM)]; "
        "release(THING) both;", needs=("FROM",)),
    Template(("divide",), get("TOOL") + "reach(THING) left; grasp(THING) left; move(TOOL, THING) right; "
        "repeat 2 { use(TOOL, THING) right [post: cut(THING)]; } release(TOOL) right; release(THING) left;",
        nouns=frozenset({"potato", "dough", "meat", "fish", "cake", "butter", "onion", "chicken", "cheese"}),
        tools=("knife",)),
    Template(("divide",), get("THING", "both") + "move(THING) both; release(THING) both;"),
    Template(("mark",), get("TOOL") + "inspect(THING) [pre: visible(THING)]; move(TOOL, THING) right; "
        "repeat 3 { use(TOOL, THING) right; } release(TOOL) right;", tools=("knife", "pen")),
    Template(("prepare",), "search(THING); inspect(THING); " + get("THING") + "position(THING) right; "
        "release(THING) right;"),
)  # fmt: skip
