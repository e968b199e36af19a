"""Taking, lifting, holding, carrying: a thing ends up in the hand."""

from leaplan.programs.templates.nouns import DRAWERS, FIXED, LIDS, WEARABLES
from leaplan.programs.templates.template import Template, carry, get

_FROM_PLACE = "reach(THING) right; grasp(THING, FROM) right [pre: in(THING, FROM)] [post: not in(THING, FROM)]; "

TEMPLATES = (
    Template(("take",), "reach(FROM) left; search(THING, FROM); " + _FROM_PLACE + "move(THING) right;",
        words=("retrieve", "fetch", "collect"), needs=("FROM",), opens=("FROM",)),
    Template(("take", "remove", "gather", "choose"), _FROM_PLACE + "move(THING, TO) right;",
        needs=("FROM", "TO"), opens=("FROM",)),
    Template(("take", "lift", "carry"), _FROM_PLACE + "move(THING) right;", needs=("FROM",), opens=("FROM",)),
    Template(("take",), get("THING") + get("ALSO", "left") + "move(THING) right; move(ALSO) left;", needs=("ALSO",)),
    Template(("take",), get("TOOL") + "move(TOOL, THING) right; use(TOOL, THING) right [post: on(THING, TOOL)]; "
        "move(TOOL) right;", needs=("TOOL",)),
    Template(("take", "carry"), get("THING") + "move(THING, TO) right;", needs=("TO",)),
    Template(("take",), "reach(THING) right; grasp(THING) right; move(THING) right;"),
    Template(("remove",), "reach(THING) both; repeat 2 { grasp(THING, hand) both; move(THING, hand) both; "
        "release(THING, hand) both; }", nouns=WEARABLES - {"watch", "backpack"}),
    Template(("remove",), get("THING") + "disassemble(THING, FROM) right [pre: on(THING, FROM)] "
        "[post: not on(THING, FROM), open(FROM)]; move(THING) right;", nouns=LIDS, needs=("FROM",)),
    Template(("remove", "uncover"), get("THING") + "disassemble(THING, FROM) right [pre: on(THING, FROM)] "
        "[post: not on(THING, FROM), open(FROM)]; move(THING, top) right; release(THING, top) right "
        "[post: on(THING, top)];", nouns=LIDS, source="pan"),
    Template(("remove",), get("FROM", "left") + "hold(FROM) left; reach(THING) right; while on(THING, FROM) max 4 { "
        "grasp(THING, FROM) right; disassemble(THING, FROM) right [post: not on(THING, FROM)]; "
        "move(THING) right; release(THING) right; }", nouns=frozenset({"skin", "pith", "label", "leaf", "stalk"}),
        needs=("FROM",)),
    Template(("remove",), get("TOOL") + "reach(THING) left; move(TOOL, THING) right; repeat 2 { position(TOOL, THING) "
        "right; use(TOOL, THING) right; } release(TOOL) right;", needs=("TOOL",)),
    Template(("remove",), "reach(THING) right; grasp(THING, FROM) right [pre: in(THING, FROM)]; "
        "disassemble(THING, FROM) right [post: not in(THING, FROM)]; move(THING) right;",
        needs=("FROM",), opens=("FROM",)),
    Template(("remove",), get("THING") + carry("THING", "TO"), needs=("TO",)),
    Template(("remove",), get("THING") + "move(THING) right; release(THING) right;"),
    Template(("lift",), get("THING", "both") + "move(THING) both; hold(THING) both;",
        nouns=frozenset({"pan", "pot", "tray", "blender", "bin", "box", "board:chopping", "container"})),
    Template(("lift",), get("THING") + "move(THING) right; hold(THING) right;"),
    Template(("hold",), get("THING", "both") + "hold(THING) both;", words=("hands",)),
    Template(("hold",), get("THING") + "move(THING, TO) right; hold(THING, TO) right;", needs=("TO",)),
    Template(("hold",), get("THING") + "hold(THING) right;"),
    Template(("carry",), get("THING", "both") + "move(THING) both;"),
    Template(("gather",), "repeat 3 { " + get("THING") + carry("THING", "TO") + "}", needs=("TO",)),
    Template(("gather",), "repeat 3 { reach(THING) both; grasp(THING) both; move(THING) both; "
        "release(THING) both; }", nouns=frozenset({"skin", "rubbish", "food", "flour", "dough", "rice"})),
    Template(("gather",), "repeat 2 { reach(THING) right; grasp(THING, FROM) right; move(THING, hand) right; "
        "release(THING, hand) right [post: on(THING, hand)]; }", needs=("FROM",)),
    Template(("gather",), "repeat 2 { " + get("THING") + "move(THING, hand) right; release(THING, hand) right "
        "[post: on(THING, hand)]; }"),
    Template(("gather",), "repeat 2 { " + get("THING") + "move(THING) right; release(THING) right; }"),
    Template(("choose",), "reach(THING) right; repeat 2 { grasp(THING) right; position(THING) right; "
        "release(THING) right; } inspect(THING) [pre: visible(THING)];", nouns=FIXED | {"alarm"}),
    Template(("choose",), "if not visible(THING) { search(THING, FROM); } inspect(THING); " + _FROM_PLACE,
        needs=("FROM",), opens=("FROM",)),
    Template(("choose",), "search(THING); inspect(THING); " + get("THING") + "move(THING) right;"),
    Template(("pull",), "reach(THING) right; grasp(THING) right; while not open(THING) max 3 { move(THING) right "
        "[post: open(THING)]; } release(THING) right;", nouns=DRAWERS | {"dishwasher", "rack:drying"}),
    Template(("pull",), _FROM_PLACE + "move(THING) right; hold(THING) right;", needs=("FROM",), opens=("FROM",)),
    Template(("pull",), get("THING") + "move(THING, TO) right; release(THING, TO) right;", needs=("TO",)),
    Template(("pull",), get("THING") + "repeat 2 { move(THING) right; } release(THING) right;"),
    Template(("stab",), get("TOOL") + "reach(THING) left; grasp(THING) left; hold(THING) left; move(TOOL, "
        "THING) right; "
        "repeat 2 { position(TOOL, THING) right; use(TOOL, THING) right [post: cut(THING)]; } release(TOOL) right;",
        nouns=frozenset({"potato", "garlic", "wrap:plastic"}), tools=("fork", "knife")),
    Template(("stab",), get("TOOL") + "move(TOOL, THING) right; use(TOOL, THING) right [post: cut(THING)]; "
        "inspect(THING) [pre: visible(THING)]; move(TOOL) right;", tools=("knife", "fork", "chopstick")),
    Template(("let-go",), "release(THING) right; release(ALSO) left;", needs=("ALSO",)),
    Template(("let-go",), "release(THING) right;"),
)  # fmt: skip
