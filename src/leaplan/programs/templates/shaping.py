"""Folding, rolling, kneading, stretching, turning over, scraping, wrapping, cooking: a thing changes its form."""

from leaplan.programs.templates.nouns import DOUGHS, HEATERS, HOUSEHOLD, LIDS
from leaplan.programs.templates.template import Template, get, lay, opened, work

_TURN_OVER = "move(TOOL, THING) right; position(TOOL, THING) right; use(TOOL, THING) right; "
_TURNERS = ("spatula", "tongs", "fork")
_PLIABLE = frozenset({"bag", "towel", "cloth", "clothes", "paper", "mat", "foil", "box", "napkin", "sheets", "wrap",
        "wrap:plastic", "package", "book"})  # fmt: skip

TEMPLATES = (
    Template(("flip", "turn"), get("TOOL") + _TURN_OVER + "release(TOOL) right;", needs=("TOOL",)),
    Template(("turn",), get("THING") + "repeat 2 { position(THING) right; } release(THING) right;",
        nouns=HOUSEHOLD | HEATERS | LIDS | {"container", "box", "bottle", "jar"}),
    Template(("flip",), get("THING", "both") + "position(THING) both; " + "release(THING) both;",
        nouns=HOUSEHOLD | DOUGHS | _PLIABLE - {"pancake", "burger"}),
    Template(("flip", "turn"), get("pan", "left") + "hold(pan) left; "
        "" + get("TOOL") + _TURN_OVER + "release(TOOL) right; "
        "release(pan) left;", words=("pan",), tools=_TURNERS),
    Template(("flip", "turn"), get("TOOL") + _TURN_OVER + "release(TOOL) right;", tools=_TURNERS),
    Template(("scrape",), get("TOOL") + "move(TOOL, THING) right; use(TOOL, THING) right; move(TOOL, TO) right; "
        "repeat 2 { position(TOOL, TO) right [post: in(THING, TO)]; } release(TOOL) right;", needs=("TO",),
        tools=("knife", "spatula")),
    Template(("scrape",), get("FROM", "left") + "hold(FROM) left; " + get("TOOL") + "move(TOOL, FROM) right; while "
        "on(THING, FROM) max 4 { use(TOOL, FROM) right [post: not on(THING, FROM)]; } release(TOOL) right;",
        needs=("FROM",), tools=("spatula", "knife")),
    Template(("scrape",), get("THING", "left") + "hold(THING) left; " + get("TOOL") + "move(TOOL, THING) right; "
        "repeat 4 { use(TOOL, THING) right; } release(TOOL) right;", tools=("spatula", "knife", "spoon")),
    Template(("fold",), get("THING", "both") + "move(THING, TO) both; repeat 2 { position(THING, TO) both; } "
        "release(THING, TO) both;", needs=("TO",)),
    Template(("fold",), get("THING", "both") + "repeat 2 { position(THING) both; } hold(THING) both; "
        "release(THING, top) both [post: on(THING, top)];", nouns=_PLIABLE),
    Template(("fold",), get("THING", "both") + "repeat 3 { position(THING) both; hold(THING) both; } "
        "release(THING) both;"),
    Template(("roll", "flatten"), get("TOOL", "both") + "move(TOOL, THING) both; repeat 5 { use(TOOL, THING) both; } "
        "release(TOOL) both;", needs=("TOOL",)),
    Template(("roll",), get("THING") + "repeat 3 { move(THING, TO) right [post: on(TO, THING)]; } hold(THING) right;",
        needs=("TO",)),
    Template(("roll",), "reach(THING) both; grasp(THING) both; repeat 4 { move(THING, top) both; } "
        "release(THING, top) both;", nouns=DOUGHS),
    Template(("roll",), get("THING", "both") + "repeat 3 { position(THING) both; } release(THING) both;"),
    Template(("stretch",), get("THING", "both") + "repeat 3 { move(THING, TO) both; } release(THING, TO) both "
        "[post: on(THING, TO)];", needs=("TO",)),
    Template(("stretch",), get("THING", "both") + "repeat 3 { move(THING) both; hold(THING) both; } "
        "release(THING) both;"),
    Template(("knead",), "reach(THING) both; repeat 6 { grasp(THING) both; move(THING, TO) both "
        "[post: mixed(THING)]; release(THING, TO) both; }", needs=("TO",)),
    Template(("knead",), "reach(THING) both; repeat 6 { grasp(THING) both; move(THING, top) both [post: mixed(THING)]; "
        "release(THING, top) both; }"),
    Template(("knead",), get("THING", "both") + "repeat 6 { position(THING) both [post: mixed(THING)]; } "
        "release(THING) both;"),
    Template(("form",), get("THING", "both") + "repeat 4 { position(THING) both; hold(THING) both; } "
        + lay("THING", "TO", "both"), to="tray"),
    Template(("form",), get("THING", "both") + "repeat 3 { position(THING) both; } release(THING) both;"),
    Template(("flatten",), "reach(THING) both; repeat 4 { grasp(THING) both; move(THING, top) both; "
        "release(THING, top) both; }", nouns=DOUGHS | {"meat", "chicken"}),
    Template(("flatten",), get("THING", "both") + "repeat 2 { hold(THING) both; move(THING) both; } "
        "release(THING) both;"),
    Template(("bend",), get("THING", "both") + "position(THING) both; hold(THING) both; release(THING) both;"),
    Template(("wrap",), get("TOOL", "both") + "move(TOOL, THING) both; repeat 2 { position(TOOL, THING) both; } "
        "release(TOOL, THING) both [post: on(TOOL, THING), not open(THING)];", needs=("TOOL",)),
    Template(("wrap",), get("THING", "both") + "repeat 2 { position(THING) both; } hold(THING) both "
        "[post: not open(THING)]; release(THING) both;",
        nouns=frozenset({"bag", "package", "wrap", "wrap:plastic", "paper", "foil", "apron", "sheets", "book"})),
    Template(("wrap",), get("TOOL") + "move(TOOL, THING) right; assemble(TOOL, THING) right [post: not open(THING)]; "
        "release(TOOL, THING) right [post: on(TOOL, THING)];",
        nouns=frozenset({"pan", "pot", "jar", "container", "cooker:slow", "box", "bottle", "can"}),
        tools=("lid", "cover", "cap")),
    Template(("wrap",), get("TOOL", "both") + "move(TOOL, THING) both; repeat 2 { position(TOOL, THING) both; } "
        "release(TOOL, THING) both [post: on(TOOL, THING)];", tools=("wrap:plastic", "foil", "cloth")),
    Template(("cook",), "if not hot(hob) { " + get("hob", "left") + "position(hob) left [post: hot(hob)]; "
        "release(hob) left; } " + get("TOOL") + work("move(TOOL, THING) right;", "use(TOOL, THING) right "
        "[post: hot(THING)];", most=6, until="hot(THING)") + "release(TOOL) right;", tools=("spatula", "spoon")),
    Template(("cook",), get("TOOL") + work("use(TOOL, THING) right [post: hot(THING)];", most=6, until="hot(THING)")
        + "release(TOOL) right;", tools=("spatula", "spoon")),
    Template(("bake",), opened("oven") + get("THING", "both") + "move(THING, oven) both; release(THING, oven) both "
        "[post: in(THING, oven)]; " + get("oven") + "move(oven) right [post: not open(oven)]; release(oven) right; "
        + work("inspect(THING) [pre: visible(THING)] [post: hot(THING)];", most=4, until="hot(THING)")),
    Template(("bake",), get("THING") + "position(THING) right [post: hot(THING)]; release(THING) right;"),
    Template(("unfreeze",), opened("tap") + get("THING") + work("hold(THING, tap) right [post: hot(THING)];", most=4,
        until="hot(THING)") + "move(THING) right;"),
    Template(("unfreeze",), get("THING") + work("hold(THING) right [post: hot(THING)];", until="hot(THING)")
        + "release(THING) right;"),
    Template(("pat",), get("THING") + "repeat 3 { move(THING, TO) right; } hold(THING) right;", needs=("TO",)),
    Template(("pat",), get("THING") + "move(THING, pan) right; repeat 3 { move(THING, pan) right; } hold(THING) right;",
        nouns=frozenset({"spatula", "spoon", "fork", "whisk", "ladle"})),
    Template(("pat",), get("TOOL") + "repeat 3 { move(TOOL, THING) right; use(TOOL, THING) right; } "
        "release(TOOL) right;",
        needs=("TOOL",)),
    Template(("pat",), "repeat 3 { reach(THING) right [post: in_contact(right, THING)]; }"),
)  # fmt: skip
