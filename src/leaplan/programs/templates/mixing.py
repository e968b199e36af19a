"""Pouring, mixing, filling, scooping, spreading, seasoning, cooking: stuff moves from vessel to vessel.

A stuff that is narrated without its vessel ("pour oil") stands for the vessel too, as narrators mean it.
"""

from leaplan.programs.templates.nouns import CLOTHS, LIQUIDS, SPREADS, VESSELS
from leaplan.programs.templates.template import Template, carry, closed, get, lay, opened, work

_TIP = "position(THING, TO) right [post: in(THING, TO)]; "
_PINCH = (get("THING") + "move(THING, TO) right; repeat 3 { position(THING, TO) right [post: on(THING, TO)]; } "
          "release(THING) right;")  # fmt: skip
_SPREAD = (get("TOOL") + "move(TOOL, THING) right; use(TOOL, THING) right [post: on(THING, TOOL)]; move(TOOL, "
        "TO) right; "
           "repeat 3 { use(TOOL, TO) right [post: on(THING, TO)]; } release(TOOL) right;")  # fmt: skip
_AT_TAP = (get("THING") + "move(THING, tap) right; " + opened("tap")
           + work("hold(THING, tap) right [post: in(water, THING), full(THING)];", until="full(THING)")
           + closed("tap") + lay("THING", "top"))  # fmt: skip
_STIRRERS = ("spoon", "spatula", "fork")
_WHISKING = ("whisk", "beat", "whisking", "beating", "scramble")

TEMPLATES = (
    Template(("empty",), get("FROM") + "position(FROM) right [pre: in(THING, FROM)] [post: not in(THING, FROM), "
        "not full(FROM)]; hold(FROM) right;", needs=("FROM",)),
    Template(("empty",), get("THING") + "move(THING, TO) right; position(THING, TO) right [pre: full(THING)] "
        "[post: not full(THING)]; repeat 2 { move(THING, TO) right; }", needs=("TO",), opens=("TO",)),
    Template(("pour",), "reach(FROM) right; grasp(FROM) right; move(FROM, TO) right; position(FROM, TO) right "
        "[pre: in(THING, FROM)] [post: in(THING, TO)]; position(FROM) right; " + lay("FROM", "top"),
        needs=("FROM", "TO")),
    Template(("pour",), get("TOOL") + "move(TOOL, THING) right; use(TOOL, THING) right [post: in(THING, TOOL)]; "
        "move(TOOL, TO) right; position(TOOL, TO) right [post: in(THING, TO), not in(THING, TOOL)]; "
        "release(TOOL) right;", needs=("TOOL", "TO")),
    Template(("pour",), get("THING") + "move(THING, TO) right; " + _TIP + "position(THING) right; "
        "" + lay("THING", "top"),
        needs=("TO",)),
    Template(("pour",), get("FROM") + "move(FROM, sink) right; position(FROM, sink) right [pre: in(THING, FROM)] "
        "[post: in(THING, sink), not in(THING, FROM)]; position(FROM) right;", needs=("FROM",)),
    Template(("pour", "empty"), get("THING") + "move(THING, sink) right; position(THING, sink) right [pre: "
        "full(THING)] "
        "[post: not full(THING)]; position(THING) right;", nouns=VESSELS - {"sink"}),
    Template(("pour", "empty"), get("THING") + "move(THING, sink) right; position(THING, sink) right "
        "[post: in(THING, sink)]; position(THING) right;", nouns=LIQUIDS, words=("out", "away", "down", "empty")),
    Template(("pour",), get("THING") + "move(THING) right; position(THING) right; hold(THING) right; "
        "position(THING) right; release(THING) right;"),
    Template(("empty",), "while full(THING) max 3 { reach(THING) right; grasp(THING) right; move(THING) right; "
        "release(THING) right [post: not full(THING)]; }"),
    Template(("mix",), get("TO", "left") + "hold(TO) left; " + get("TOOL") + "move(TOOL, TO) right; "
        + work("use(TOOL, THING) right [post: mixed(THING)];", most=5, until="mixed(THING)")
        + "release(TOOL, TO) right; release(TO) left;", needs=("TO",), tools=_STIRRERS),
    Template(("mix",), get("TOOL") + "move(TOOL, THING) right; "
        + work("use(TOOL, THING) right;", "use(TOOL, ALSO) right [post: mixed(ALSO), mixed(THING)];", most=4,
        until="mixed(THING)") + "release(TOOL) right;", needs=("ALSO",), tools=_STIRRERS),
    Template(("mix",), get("bowl", "left") + "hold(bowl) left; " + get("TOOL") + "move(TOOL, bowl) right; "
        + work("use(TOOL, THING) right [post: mixed(THING)];", most=6, until="mixed(THING)")
        + "release(TOOL, bowl) right; release(bowl) left;", words=_WHISKING, tools=("whisk", "fork")),
    Template(("mix",), get("THING", "left") + "hold(THING) left; " + get("TOOL") + "move(TOOL, THING) right; "
        + work("use(TOOL, THING) right [post: mixed(THING)];", most=5, until="mixed(THING)")
        + "release(TOOL, THING) right; release(THING) left;",
        nouns=frozenset({"pan", "pot", "bowl", "cup", "glass", "jug", "container"}), tools=_STIRRERS),
    Template(("mix",), get("TOOL") + "move(TOOL, THING) right; "
        + work("use(TOOL, THING) right [post: mixed(THING)];", most=5, until="mixed(THING)")
        + "release(TOOL) right;", tools=_STIRRERS),
    Template(("scoop",), get("TOOL") + "move(TOOL, THING) right; repeat 2 { use(TOOL, THING) right "
        "[post: on(THING, TOOL)]; move(TOOL, TO) right; position(TOOL, TO) right [post: in(THING, TO), "
        "not on(THING, TOOL)]; } release(TOOL) right;", needs=("TO",), tools=("spoon", "ladle")),
    Template(("scoop",), get("FROM", "left") + "hold(FROM) left; " + get("TOOL") + "move(TOOL, FROM) right; "
        "use(TOOL, THING) right [pre: in(THING, FROM)] [post: on(THING, TOOL)]; move(TOOL) right;",
        needs=("FROM",), tools=("spoon", "ladle")),
    Template(("scoop",), get("TOOL") + "move(TOOL, THING) right; use(TOOL, THING) right [post: on(THING, TOOL)]; "
        "move(TOOL) right; position(TOOL) right [post: not on(THING, TOOL)];", tools=("spoon", "ladle")),
    Template(("fill",), _AT_TAP, nouns=VESSELS - {"sink", "dishwasher", "bin"}, words=("water",)),
    Template(("fill",), get("TOOL") + "reach(THING) left; grasp(THING) left; hold(THING) left; "
        + work("position(TOOL, THING) right [post: in(TOOL, THING), full(THING)];", until="full(THING)")
        + "release(TOOL) right; release(THING) left;", needs=("TOOL",)),
    Template(("fill",), get("ALSO") + "move(ALSO, THING) right; "
        + work("position(ALSO, THING) right [post: in(ALSO, THING), full(THING)];", until="full(THING)")
        + "release(ALSO) right;", needs=("ALSO",)),
    Template(("fill",), get("THING") + "move(THING, FROM) right; " + work("use(THING, FROM) right [post: full(THING)];",
        until="full(THING)") + "move(THING) right;", needs=("FROM",)),
    Template(("fill",), _AT_TAP, nouns=VESSELS - {"sink", "dishwasher", "bin"}),
    Template(("fill",), opened("tap") + work("inspect(THING) [post: "
        "full(THING)];", until="full(THING)") + closed("tap"),
        nouns=frozenset({"sink"})),
    Template(("fill",), get("THING") + work("position(THING) right [post: full(THING)];", until="full(THING)")
        + "release(THING) right;"),
    Template(("apply",), _SPREAD, nouns=SPREADS, needs=("TO",), tools=("knife", "spoon")),
    Template(("apply",), get("TOOL") + "move(TOOL, THING) right; repeat 3 { use(TOOL, THING) right; } "
        "release(TOOL) right;", needs=("TOOL",)),
    Template(("apply", "spray"), get("THING") + "move(THING, TO) right; repeat 2 { position(THING, TO) right "
        "[post: on(THING, TO)]; } release(THING) right;", needs=("TO",)),
    Template(("apply", "spray"), get("THING") + "move(THING, sponge) right; position(THING, sponge) right; "
        "hold(THING, sponge) right [post: on(THING, sponge)]; " + lay("THING", "sink"),
        nouns=frozenset({"liquid:washing"})),
    Template(("apply",), _SPREAD.replace("TO)", "bread)"), nouns=SPREADS, tools=("knife", "spoon")),
    Template(("apply",), get("THING") + "move(THING) right; repeat 3 { position(THING) right; } release(THING) right;"),
    Template(("spray",), get("THING") + "move(THING) right; repeat 3 { hold(THING) right; } release(THING) right;"),
    Template(("sprinkle", "season"), _PINCH, needs=("TO",)),
    Template(("season",), get("TOOL") + "move(TOOL, THING) right; repeat 3 { position(TOOL, THING) right "
        "[post: on(TOOL, THING)]; } release(TOOL) right;", tools=("salt", "spice")),
    Template(("sprinkle",), _PINCH.replace("TO)", "food)")),
    Template(("sprinkle",), get("THING") + "repeat 3 { position(THING) right; } release(THING) right;"),
    Template(("add",), get("FROM") + "move(FROM, TO) right; position(FROM, TO) right [pre: in(THING, FROM)] "
        "[post: in(THING, TO)]; release(FROM) right;", needs=("FROM", "TO")),
    Template(("add",), get("THING") + "move(THING, TO) right; position(THING, TO) right [post: in(THING, TO), "
        "not mixed(TO)]; position(THING) right; release(THING) right;", nouns=LIQUIDS, needs=("TO",)),
    Template(("add",), get("THING") + carry("THING", "TO"), needs=("TO",)),
    Template(("add",), get("THING") + "move(THING) right; position(THING) right; release(THING) right;"),
    Template(("coat",), get("THING") + "repeat 2 { position(THING, TO) right [post: on(TO, THING)]; } "
        "move(THING) right;",
        needs=("TO",)),
    Template(("coat",), get("TOOL") + "move(TOOL, THING) right; repeat 4 { use(TOOL, THING) right "
        "[post: on(TOOL, THING)]; } release(TOOL) right;", tools=("oil", "flour")),
    Template(("filter",), get("THING", "both") + "move(THING, TO) both; position(THING, TO) both [post: "
        "in(THING, TO)]; "
        "hold(THING, TO) both; release(THING) both;", needs=("TO",)),
    Template(("filter",), get("FROM", "both") + "position(FROM) both [pre: in(THING, FROM)]; while in(THING, "
        "FROM) max 3 "
        "{ hold(FROM) both [post: not in(THING, FROM)]; } position(FROM) both;", needs=("FROM",)),
    Template(("filter",), get("THING", "both") + "move(THING, sink) both; position(THING, sink) both; while "
        "full(THING) max 3 { hold(THING, sink) both [post: not full(THING)]; }", nouns=VESSELS - {"sink"}),
    Template(("filter",), get("THING", "both") + "move(THING, colander) both; position(THING, colander) both "
        "[post: in(THING, colander)]; release(THING) both; reach(colander) both; grasp(colander) both; "
        "repeat 2 { move(colander, sink) both; } release(colander, sink) both;"),
    Template(("filter",), get("THING") + "position(THING) right; hold(THING) right; release(THING) right;"),
    Template(("squeeze",), opened("tap") + get("THING", "both") + "move(THING, tap) both; repeat 3 { position(THING) "
        "both; hold(THING) both; }", nouns=CLOTHS - {"brush"}, words=("rinse", "water", "under", "wet")),
    Template(("squeeze",), get("THING", "both") + "move(THING, sink) both; repeat 2 { position(THING) both; "
        "hold(THING, sink) both; } " + "release(THING) left;", nouns=CLOTHS - {"brush", "paper"}),
    Template(("squeeze",), "reach(FROM) right; grasp(FROM) right; repeat 3 { hold(FROM) right "
        "[post: not in(THING, FROM)]; } release(FROM) right;", needs=("FROM",)),
    Template(("squeeze",), get("THING") + "move(THING, TO) right; repeat 3 { hold(THING, TO) right [post: "
        "in(THING, TO)]; "
        "} position(THING) right; release(THING) right;", needs=("TO",)),
    Template(("squeeze",), get("TOOL", "left") + "hold(TOOL) left; " + get("THING") + "move(THING, TOOL) right; "
        "repeat 4 { position(THING, TOOL) right; hold(THING, TOOL) right; } release(THING) right;",
        nouns=frozenset({"lemon", "lime", "orange"}), tools=("juicer",)),
    Template(("squeeze",), get("THING", "both") + "repeat 3 { hold(THING) both; } release(THING) both;"),
    Template(("measure",), get("TOOL") + work("move(TOOL, THING) right;", "use(TOOL, THING) right [post: full(TOOL)];",
        until="full(TOOL)") + "move(TOOL, TO) right; position(TOOL, TO) right [post: in(THING, TO), not full(TOOL)]; "
        "release(TOOL) right;", needs=("TO",), tools=("spoon", "cup")),
    Template(("measure",), get("TOOL") + work("move(TOOL, THING) right;", "use(TOOL, THING) right [post: full(TOOL)];",
        "inspect(TOOL) [pre: visible(TOOL)];", until="full(TOOL)") + "move(TOOL) right;",
        tools=("spoon", "cup")),
)  # fmt: skip
