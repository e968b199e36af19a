"""Putting, inserting, throwing, hanging, serving: a thing leaves the hand for a place."""

from leaplan.programs.templates.nouns import HAND, HEATERS, LIDS, WEARABLES
from leaplan.programs.templates.template import Template, carry, get, lay

_WEAR = (get("THING") + "move(THING, hand) right; repeat 2 { position(THING, hand) right; } "
         "release(THING, hand) right [post: on(THING, hand)];")  # fmt: skip

TEMPLATES = (
    Template(("put", "wear"), _WEAR, nouns=WEARABLES - HAND, words=("on", "wear", "wearing")),
    Template(("wear",), _WEAR),
    Template(("wear",), get("THING") + "repeat 2 { position(THING) right; } release(THING) right;"),
    Template(("put", "insert"), "move(THING, TO) right; position(THING, TO) right; assemble(THING, TO) right "
        "[post: on(THING, TO), not open(TO)]; release(THING, TO) right;", nouns=LIDS,
        words=("on", "onto", "over", "back"), needs=("TO",)),
    Template(("put",), "move(THING, TO) right; release(THING, TO) right [post: in(THING, TO)]; "
        "move(ALSO, TO) left; release(ALSO, TO) left [post: in(ALSO, TO)];", needs=("ALSO", "TO"), opens=()),
    Template(("put",), "move(THING, top) right; release(THING, top) right [post: on(THING, top)]; "
        "move(ALSO, top) left; release(ALSO, top) left [post: on(ALSO, top)];", needs=("ALSO",)),
    Template(("put", "add"), get("TOOL") + "move(TOOL, THING) right; use(TOOL, THING) right [post: on(THING, TOOL)]; "
        "move(TOOL, TO) right; position(TOOL, TO) right [pre: on(THING, TOOL)] [post: in(THING, TO), "
        "not on(THING, TOOL)]; release(TOOL) right;", needs=("TOOL", "TO")),
    Template(("put",), carry("THING", "TO"), needs=("TO",), opens=("TO",)),
    Template(("put",), carry("THING", "TO"), words=("away", "store", "back", "return", "returning"), to="cupboard",
        opens=("TO",)),
    Template(("put",), "reach(THING) right; grasp(THING) right; move(THING, hob) right; release(THING, hob) right "
        "[post: on(THING, hob)];", nouns=frozenset({"pan", "pot"}), words=("heat", "boil", "cook")),
    Template(("put",), lay("THING", "TO"), to="top"),
    Template(("put",), "move(THING) right; release(THING) right;"),
    Template(("insert",), "move(THING, TO) right; position(THING, TO) right; assemble(THING, TO) right "
        "[post: in(THING, TO)]; release(THING, TO) right;",
        nouns=frozenset({"plug", "filter", "battery", "key", "straw", "thermometer", "cork", "cd"}), needs=("TO",)),
    Template(("insert",), get("FROM", "left") + carry("THING", "TO") + "release(FROM) left;", needs=("FROM", "TO")),
    Template(("insert",), "move(THING, TO) right; position(THING, TO) right; release(THING, TO) right "
        "[post: in(THING, TO)];", needs=("TO",), opens=("TO",)),
    Template(("insert",), "move(THING, TO) right; position(THING, TO) right; release(THING, TO) right "
        "[post: in(THING, TO)];", to="container"),
    Template(("insert",), "move(THING) right; position(THING) right; release(THING) right;"),
    Template(("throw",), "move(THING, TO) right; release(THING, TO) right [post: in(THING, TO)];", to="bin",
        opens=("TO",)),
    Template(("throw",), "move(THING, bag) right; position(THING, bag) right; release(THING, bag) right "
        "[post: in(THING, bag)];"),
    Template(("throw",), "move(THING) right; release(THING) right;"),
    Template(("drop",), "release(THING, TO) right [post: in(THING, TO)];", needs=("TO",)),
    Template(("drop",), "release(THING, floor) right [post: on(THING, floor)];", words=("floor",)),
    Template(("drop",), "release(THING, top) right [post: on(THING, top)];"),
    Template(("drop",), "release(THING) right;"),
    Template(("hang",), get("THING", "both") + "move(THING, TO) both; position(THING, TO) both; release(THING, "
        "TO) both "
        "[post: on(THING, TO)];", nouns=frozenset({"clothes", "cloth", "towel", "sheets", "apron"}), to="airer"),
    Template(("hang",), "move(THING, TO) right; position(THING, TO) right; release(THING, TO) right "
        "[post: on(THING, TO)];", to="rack:drying"),
    Template(("hang",), "move(THING) right; position(THING) right; release(THING) right;"),
    Template(("serve",), get("TOOL") + "reach(TO) left; grasp(TO) left; hold(TO) left; repeat 2 { move(TOOL, THING) "
        "right; use(TOOL, THING) right [post: on(THING, TOOL)]; move(TOOL, TO) right; position(TOOL, TO) right "
        "[post: on(THING, TO), not on(THING, TOOL)]; } release(TOOL) right; release(TO) left;",
        to="plate", tools=("spoon", "ladle", "spatula")),
    Template(("serve",), get("THING") + lay("THING", "top")),
    Template(("serve",), get("THING") + "move(THING) right; release(THING) right;"),
    Template(("move",), get("FROM", "left") + get("THING") + "disassemble(THING, FROM) right [post: not "
        "in(THING, FROM)]; "
        + carry("THING", "TO") + "release(FROM) left;", needs=("FROM", "TO"), words=("transfer",)),
    Template(("move",), get("TOOL") + "repeat 3 { move(TOOL, THING) right; use(TOOL, THING) right; } "
        "release(TOOL) right;",
        needs=("TOOL",)),
    Template(("move",), get("THING") + "position(THING) right; release(THING) right;",
        nouns=frozenset({"tap", "knob", "handle", "button"})),
    Template(("move",), "reach(THING) right; grasp(THING, FROM) right [pre: in(THING, FROM)] "
        "[post: not in(THING, FROM)]; move(THING) right; release(THING) right;", needs=("FROM",), opens=("FROM",)),
    Template(("move", "slide"), get("THING") + carry("THING", "TO"), needs=("TO",), opens=("TO",)),
    Template(("move", "slide"), "reach(THING) both; grasp(THING) both; move(THING) both; release(THING) both;",
        nouns=frozenset({"pan", "pot", "tray", "board:chopping", "box", "chair", "bin", "blender", "ladder"})),
    Template(("move",), get("THING") + "move(THING) right; release(THING) right;"),
    Template(("slide",), get("THING") + "repeat 2 { move(THING) right; } release(THING) right;"),
    Template(("lower",), get("THING") + "position(THING) right [post: not hot(THING)]; inspect(THING) "
        "[pre: visible(THING)]; release(THING) right;", nouns=HEATERS - {"kettle"}),
    Template(("lower",), "move(THING, TO) right; hold(THING, TO) right;", needs=("TO",)),
    Template(("lower",), "hold(THING) right; move(THING) right;"),
    Template(("transition",), "search(THING); inspect(THING);"),
    Template(("sort",), get("THING") + "move(THING, TO) right; position(THING, TO) right; release(THING, TO) right "
        "[post: in(THING, TO)];", needs=("TO",)),
    Template(("sort",), "repeat 3 { " + get("THING") + "move(THING, top) right; position(THING, top) right; "
        "release(THING, top) right [post: on(THING, top)]; }", words=("stack", "pile", "stacking", "sort")),
    Template(("sort",), "inspect(THING) [pre: visible(THING)]; repeat 3 { " + get("THING") +
        "position(THING) right; release(THING) right; }"),
)  # fmt: skip
