"""Switching on and off, turning up and down, pressing, setting. `open(tap)` and `open(light)`: it runs or is on."""

from leaplan.programs.templates.nouns import CLOTHS, DOUGHS, FIXED, HEATERS, TAPS
from leaplan.programs.templates.template import Template, get

_STEER = get("THING") + "position(THING) right; inspect(THING) [pre: visible(THING)]; release(THING) right;"
_PRESS = get("THING") + "hold(THING) right; release(THING) right;"

TEMPLATES = (
    Template(("turn-on",), get("THING") + "move(THING) right [pre: not open(THING)] [post: open(THING)]; "
        "release(THING) right;", nouns=TAPS),
    Template(("turn-on",), get("THING") + "position(THING) right [post: hot(THING)]; release(THING) right;",
        nouns=HEATERS),
    Template(("turn-on",), get("THING") + "hold(THING) right [pre: not open(THING)] [post: open(THING)]; "
        "release(THING) right;"),
    Template(("turn-off",), get("THING") + "move(THING) right [pre: open(THING)] [post: not open(THING)]; "
        "release(THING) right;", nouns=TAPS),
    Template(("turn-off",), get("THING") + "position(THING) right [post: not hot(THING)]; release(THING) right;",
        nouns=HEATERS),
    Template(("turn-off",), get("THING") + "hold(THING) right [pre: open(THING)] [post: not open(THING)]; "
        "release(THING) right;"),
    Template(("finish",), "reach(THING) right; grasp(THING) right; hold(THING) right [pre: open(THING)] "
        "[post: not open(THING)]; release(THING) right; inspect(THING) [pre: visible(THING)];"),
    Template(("adjust",), get("THING") + "repeat 2 { position(THING) right; } inspect(THING) [pre: visible(THING)]; "
        "release(THING) right;", nouns=HEATERS | TAPS | {"button", "knob", "power"}),
    Template(("adjust",), get("THING") + "move(THING, TO) right; position(THING, TO) right; "
        "release(THING, TO) right;", needs=("TO",)),
    Template(("adjust",), get("THING", "both") + "position(THING) both; release(THING) both;",
        nouns=CLOTHS | {"paper", "board:chopping", "mat", "foil", "apron", "dough"}),
    Template(("adjust",), get("THING") + "repeat 2 { position(THING) right; } release(THING) right;"),
    Template(("turn-down",), get("THING") + "position(THING) right [post: not hot(THING)]; inspect(THING) "
        "[pre: visible(THING)]; release(THING) right;"),
    Template(("increase",), get("THING") + "position(THING) right [post: hot(THING)]; inspect(THING) "
        "[pre: visible(THING)]; release(THING) right;", nouns=HEATERS),
    Template(("increase",), _STEER),
    Template(("set",), "inspect(THING) [pre: visible(THING)]; reach(THING) right; repeat 3 { grasp(THING) right; "
        "hold(THING) right; release(THING) right; } inspect(THING);",
        nouns=frozenset({"alarm", "microwave", "oven", "machine:washing", "scale", "dishwasher", "phone"})),
    Template(("set",), _STEER),
    Template(("switch",), get("TOOL") + "move(TOOL, THING) right; position(TOOL, THING) right; use(TOOL, THING) right; "
        "release(TOOL) right;", needs=("TOOL",)),
    Template(("switch",), get("THING") + "position(THING) right; release(THING) right;"),
    Template(("press",), "reach(THING) right; repeat 2 { grasp(THING) right; hold(THING) right; release(THING) "
        "right; }",
        words=("buttons", "keep", "repeatedly"), nouns=frozenset({"button"})),
    Template(("press",), _PRESS, nouns=frozenset({"button", "knob", "alarm", "scale", "toaster", "kettle", "light"})),
    Template(("press",), get("THING") + "move(THING, TO) right; repeat 2 { use(THING, TO) right; } "
        "release(THING) right;",
        nouns=frozenset({"spatula", "spoon", "fork", "knife", "presser", "masher"}), needs=("TO",)),
    Template(("press",), get("THING") + "move(THING, food) right; repeat 2 { use(THING, food) right; } "
        "release(THING) right;", nouns=frozenset({"spatula", "spoon", "fork", "knife", "presser", "masher"})),
    Template(("press",), get("TOOL") + "move(TOOL, THING) right; repeat 3 { use(TOOL, THING) right; } "
        "release(TOOL) right;", needs=("TOOL",)),
    Template(("press",), get("THING") + "move(THING, TO) right; hold(THING, TO) right; release(THING, TO) right "
        "[post: in(THING, TO)];", needs=("TO",)),
    Template(("press",), get("THING", "both") + "repeat 3 { hold(THING) both; } release(THING) both;", nouns=DOUGHS),
    Template(("press",), _PRESS.replace("hold", "move"), nouns=FIXED),
    Template(("press",), _PRESS),
    Template(("attach",), get("THING") + "move(THING, TO) right; position(THING, TO) right; "
        "assemble(THING, TO) right [post: on(THING, TO)]; release(THING, TO) right;", needs=("TO",)),
    Template(("attach",), get("THING") + "move(THING, wall) right; position(THING, wall) right; "
        "assemble(THING, wall) right [post: in(THING, wall)]; release(THING, wall) right;",
        nouns=frozenset({"plug", "phone", "blender", "kettle", "toaster", "computer", "wire"})),
    Template(("attach",), get("THING", "left") + get("TOOL") + "move(TOOL, THING) right; position(TOOL, THING) right; "
        "assemble(TOOL, THING) right [post: on(TOOL, THING)]; release(TOOL, THING) right; hold(THING) left;",
        tools=("clip", "lid", "handle")),
    Template(("attach",), get("THING", "both") + "position(THING) both; hold(THING) both; release(THING) both;"),
    Template(("use",), get("THING") + "move(THING, TO) right; repeat 3 { use(THING, TO) right; } release(THING) right;",
        needs=("TO",)),
    Template(("use",), get("THING") + "move(THING, ALSO) right; repeat 3 { use(THING, ALSO) right; } "
        "release(THING) right;", needs=("ALSO",)),
    Template(("use",), get("THING") + "repeat 2 { use(THING) right; } release(THING) right;"),
)  # fmt: skip
