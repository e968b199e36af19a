"""Washing, rinsing, wiping, scrubbing, drying, shaking, soaking, sharpening."""

from leaplan.programs.templates.nouns import CLOTHS, CROCKERY, FIXED, FLOORS, FRESH, HAND, WEARABLES
from leaplan.programs.templates.template import Template, closed, get, lay, opened, work

_UNDER_TAP = (opened("tap") + get("THING") + "move(THING, tap) right; "
        + work("position(THING, tap) right [post: clean(THING)];", until="clean(THING)"))  # fmt: skip
_HANDS_UNDER_TAP = (opened("tap") + "reach(THING) right; grasp(THING) right; move(THING, tap) right; "
        + work("position(THING, tap) right [post: clean(THING)];", until="clean(THING)")
        + "release(THING) right;")  # fmt: skip
_WITH_TOOL = (get("THING", "left") + "move(THING, sink) left; " + get("TOOL") + "move(TOOL, THING) right; "
        + work("use(TOOL, THING) right [post: clean(THING)];", until="clean(THING)"))  # fmt: skip
_WIPE = (get("TOOL") + "move(TOOL, THING) right; "
         + work("use(TOOL, THING) right [post: clean(THING)];", most=4, until="clean(THING)")
         + "release(TOOL) right;")  # fmt: skip
_WIPE_HELD = get("THING", "left") + "hold(THING) left; " + _WIPE
_WIPING = ("wipe", "wiping", "wipes", "dry", "sweep", "mop", "hoover")
_SOAPING = ("lather", "soap", "sponge", "lathering", "soaping", "sponging")
_RINSING = ("rinse", "rinsing", "rise", "cool")

TEMPLATES = (
    Template(("wash",), get("liquid:washing") + "move(liquid:washing, THING) right; use(liquid:washing, THING) right; "
        + lay("liquid:washing", "sink") + "reach(THING) right; grasp(THING) right; "
        + work("position(THING) right [post: clean(THING)];", until="clean(THING)") + "release(THING) right;",
        nouns=HAND, words=_SOAPING),
    Template(("wash",), get("TOOL") + "move(TOOL, THING) right; "
        + work("use(TOOL, THING) right [post: clean(THING)];", until="clean(THING)") + "release(TOOL) right;",
        nouns=HAND, words=_WIPING, tools=("towel", "cloth")),
    Template(("wash", "scrub"), _HANDS_UNDER_TAP, nouns=HAND),
    Template(("wash",), get("TOOL") + "move(TOOL, THING) right; repeat 3 { use(TOOL, THING) right "
        "[post: not on(THING, FROM)]; } release(TOOL) right;", words=_WIPING, needs=("FROM",),
        tools=("cloth", "sponge", "towel")),
    Template(("wash",), _WIPE, nouns=FIXED, tools=("cloth", "sponge")),
    Template(("wash",), _WIPE_HELD, words=_WIPING, tools=("cloth", "sponge", "towel")),
    Template(("wash",), _WITH_TOOL + "release(TOOL) right;", needs=("TOOL",)),
    Template(("wash",), _UNDER_TAP + "move(THING) right; " + closed("tap"), words=_RINSING, nouns=CROCKERY),
    Template(("wash",), _UNDER_TAP, words=_RINSING),
    Template(("wash",), _UNDER_TAP + "move(THING) right;", nouns=FRESH),
    Template(("wash",), opened("tap") + get("THING", "both") + "move(THING, tap) both; repeat 3 { position(THING, tap) "
        "both; hold(THING, tap) both [post: clean(THING)]; }", nouns=CLOTHS | WEARABLES),
    Template(("wash",), _WITH_TOOL + lay("TOOL", "sink"), tools=("sponge", "brush")),
    Template(("wash",), get("THING") + work("position(THING) right [post: clean(THING)];", until="clean(THING)")
        + "release(THING) right;"),
    Template(("scrub",), _WIPE.replace("max 4", "max 6"), nouns=FIXED, tools=("sponge", "brush")),
    Template(("scrub",), _WITH_TOOL.replace("max 3", "max 6") + "position(THING) left; release(TOOL) right;",
        tools=("sponge", "brush", "cloth")),
    Template(("scrub",), _WIPE, tools=("sponge", "brush")),
    Template(("dry",), get("TOOL") + "repeat 3 { use(TOOL, THING) right; } release(TOOL) right;", nouns=HAND,
        tools=("towel", "cloth")),
    Template(("dry",), get("TOOL") + "move(TOOL, THING) right; repeat 4 { use(TOOL, THING) right; } "
        "release(TOOL) right;", nouns=FIXED, tools=("cloth", "towel")),
    Template(("dry",), get("THING", "left") + get("TOOL") + "move(TOOL, THING) right; repeat 3 { position(THING) left; "
        "use(TOOL, THING) right; } release(TOOL) right;", tools=("towel", "cloth", "paper")),
    Template(("shake",), "reach(THING) both; repeat 3 { grasp(THING) right; move(THING) right; release(THING) right; }",
        nouns=HAND, needs=("FROM",)),
    Template(("shake",), "reach(sink) both; repeat 3 { grasp(THING) right; move(THING, sink) right; "
        "release(THING) right; }", nouns=HAND),
    Template(("shake",), get("THING", "both") + "repeat 3 { move(THING) both; }",
        nouns=frozenset({"pan", "pot", "colander", "container", "bag", "cloth", "towel", "sheets", "mat"})),
    Template(("shake",), get("FROM") + "repeat 3 { move(FROM) right; } position(FROM) right "
        "[post: not in(THING, FROM)];", needs=("FROM",)),
    Template(("shake",), get("THING") + "move(THING, TO) right; repeat 3 { position(THING, TO) right; "
        "move(THING, TO) right; } release(THING) right;", needs=("TO",)),
    Template(("shake",), get("THING") + "repeat 3 { move(THING) right; } hold(THING) right;"),
    Template(("soak",), get("THING") + "move(THING, TO) right; position(THING, TO) right; release(THING, TO) right "
        "[post: in(THING, TO)];", needs=("TO",)),
    Template(("soak", "water"), opened("tap") + get("THING") + "move(THING, tap) right; repeat 2 { hold(THING, tap) "
        "right; position(THING, tap) right; }", nouns=CLOTHS | {"glove", "dough"}),
    Template(("soak",), get("THING") + "move(THING, water) right; position(THING, water) right; release(THING, water) "
        "right [post: in(THING, water)];"),
    Template(("soak", "water"), get("THING") + "repeat 2 { position(THING) right; } release(THING) right;"),
    Template(("rub",), get("THING") + "move(THING, TO) right; repeat 4 { use(THING, TO) right; } release(THING) right "
        "[post: on(THING, TO)];", needs=("TO",)),
    Template(("rub",), get("TOOL") + "move(TOOL, THING) right; repeat 4 { use(TOOL, THING) right; } "
        "release(TOOL) right;", needs=("TOOL",)),
    Template(("rub",), get("THING") + "repeat 3 { position(THING) right; } release(THING) right;", nouns=HAND),
    Template(("rub",), get("THING", "both") + "repeat 4 { position(THING) both; } release(THING) both;"),
    Template(("brush",), get("TOOL", "both") + work("move(TOOL, THING) both;", "use(TOOL, THING) both [post: "
        "clean(THING)];", most=6, until="clean(THING)") + "release(TOOL) both;", nouns=FLOORS, tools=("brush",)),
    Template(("brush",), get("TOOL") + "move(TOOL, THING) right; use(TOOL, THING) right; move(TOOL, TO) right; "
        "repeat 3 { use(TOOL, TO) right [post: in(THING, TO)]; } release(TOOL) right;", needs=("TO",),
        tools=("brush", "spatula")),
    Template(("brush",), get("THING", "left") + get("TOOL") + "move(TOOL, THING) right; repeat 4 { use(TOOL, THING) "
        "right; } release(TOOL) right;", tools=("brush", "sponge")),
    Template(("sharpen",), get("TOOL", "left") + "hold(TOOL) left; reach(THING) right; grasp(THING) right; "
        "move(THING, TOOL) right; repeat 6 { use(THING, TOOL) right; } inspect(THING) right [pre: visible(THING)]; "
        "release(THING) right;", nouns=frozenset({"knife", "scissors"}), tools=("whetstone",)),
    Template(("sharpen",), get("THING", "left") + "hold(THING) left; " + get("TOOL") + "move(TOOL, THING) right; "
        "repeat 6 { use(TOOL, THING) right; } release(TOOL) right;", tools=("knife", "scissors")),
)  # fmt: skip
