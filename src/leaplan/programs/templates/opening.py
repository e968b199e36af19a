"""Opening and closing: doors, drawers, lids, caps, wrappings."""

from leaplan.programs.templates.nouns import BINS, CAPPED, DRAWERS, LIDDED, LIDS, PACKAGES, TAPS
from leaplan.programs.templates.template import Template, closed, get

_TURN_OFF_LID = "repeat 2 { position({0}, THING) right; } disassemble({0}, THING) right [post: open(THING)]; "
_TURN_ON_LID = "assemble({0}, THING) right [post: not open(THING)]; repeat 2 { position({0}, THING) right; } "


def _uncap(cap: str) -> str:
    return (get("THING", "left") + f"hold(THING) left; reach({cap}) right; grasp({cap}, THING) right "
            "[pre: not open(THING)]; " + _TURN_OFF_LID.replace("{0}", cap) + f"move({cap}) right;")  # fmt: skip


def _cap(cap: str) -> str:
    return (get("THING", "left") + "hold(THING) left; " + get(cap) + f"move({cap}, THING) right [pre: open(THING)]; "
            + _TURN_ON_LID.replace("{0}", cap) + f"release({cap}, THING) right [post: on({cap}, THING)];")  # fmt: skip


_SCREW_OFF = (get("FROM", "left") + "hold(FROM) left; reach(THING) right; grasp(THING, FROM) right "
        "[pre: on(THING, FROM)]; repeat 3 { position(THING, FROM) right; } disassemble(THING, FROM) right "
        "[post: not on(THING, FROM), open(FROM)]; move(THING) right;")  # fmt: skip

TEMPLATES = (
    Template(("open",), get("THING") + "move(THING) right [pre: not open(THING)] [post: open(THING)]; "
        "release(THING) right;", nouns=TAPS),
    Template(("open",), "reach(THING) right; grasp(THING) right; while not open(THING) max 3 { move(THING) right "
        "[post: open(THING)]; } release(THING) right;", nouns=DRAWERS),
    Template(("open",), get("THING", "left") + "hold(THING) left; " + get("TOOL") + "move(TOOL, THING) right "
        "[pre: not open(THING)]; use(TOOL, THING) right [post: open(THING)]; release(TOOL) right;", needs=("TOOL",)),
    Template(("open",), _uncap("cap"), nouns=CAPPED),
    Template(("open",), _uncap("lid"), nouns=LIDDED - {"kettle", "maker:coffee", "cooker:slow", "box"}),
    Template(("open", "uncover"), _SCREW_OFF, nouns=LIDS, needs=("FROM",)),
    Template(("open",), get("THING") + "while not open(THING) max 3 { position(THING) right [post: open(THING)]; } "
        "move(THING) right;", nouns=LIDS),
    Template(("open", "unwrap"), get("THING", "both") + "while not open(THING) max 3 { position(THING) both; "
        "move(THING) both [post: open(THING)]; } release(THING) right; hold(THING) left;", nouns=PACKAGES),
    Template(("open",), get("THING", "both") + "position(THING) both [pre: not open(THING)] [post: open(THING)]; "
        "release(THING) both;", nouns=frozenset({"box", "book", "scissors", "napkin", "towel"})),
    Template(("open",), get("THING") + "move(THING) right [pre: not open(THING)] [post: open(THING)]; "
        "release(THING) right;"),
    Template(("close",), closed("THING", "right").replace("move(THING) right", "move(THING) right [pre: open(THING)]"),
        nouns=TAPS | BINS),
    Template(("close",), get("THING") + "while open(THING) max 2 { move(THING) right [post: not open(THING)]; } "
        "release(THING) right;", nouns=DRAWERS),
    Template(("close",), _cap("cap"), nouns=CAPPED),
    Template(("close",), _cap("lid"), nouns=LIDDED - {"kettle", "maker:coffee", "box"}),
    Template(("close", "screw"), "move(THING, TO) right; position(THING, TO) right; assemble(THING, TO) right "
        "[post: on(THING, TO), not open(TO)]; release(THING, TO) right;", nouns=LIDS, needs=("TO",)),
    Template(("close",), "hold(THING) right; while open(THING) max 3 { position(THING) right [post: not "
        "open(THING)]; } "
        "release(THING) right;", nouns=LIDS),
    Template(("close",), get("THING", "both") + "repeat 2 { position(THING) both; } hold(THING) both [pre: "
        "open(THING)] "
        "[post: not open(THING)]; release(THING) both;", nouns=PACKAGES | {"box", "book"}),
    Template(("close",), closed("THING", "right").replace("move(THING) right", "move(THING) right [pre: open(THING)]")),
    Template(("uncover",), "reach(TOOL) right; grasp(TOOL, THING) right [pre: on(TOOL, THING)]; "
        "disassemble(TOOL, THING) "
        "right [post: not on(TOOL, THING), open(THING)]; move(TOOL, top) right; release(TOOL, top) right "
        "[post: on(TOOL, top)];", tools=("lid", "cover", "cloth")),
    Template(("uncover",), get("THING") + "move(THING) right [post: open(THING)]; release(THING) right;"),
    Template(("unwrap",), get("THING", "left") + "hold(THING) left; reach(TOOL) right; grasp(TOOL, THING) right "
        "[pre: on(TOOL, THING)]; repeat 2 { disassemble(TOOL, THING) right; } move(TOOL) right "
        "[post: not on(TOOL, THING)]; release(TOOL) right;", tools=("wrap", "package")),
    Template(("unwrap",), get("THING", "both") + "repeat 2 { move(THING) both; } release(THING) both;"),
    Template(("unscrew",), _SCREW_OFF, needs=("FROM",)),
    Template(("unscrew",), _SCREW_OFF, nouns=LIDS, source="bottle"),
    Template(("unscrew",), get("THING", "both") + "while not open(THING) max 4 { position(THING) both "
        "[post: open(THING)]; } hold(THING) both;"),
    Template(("screw",), get("THING", "left") + "hold(THING) left; reach(lid) right; grasp(lid, THING) right; "
        "repeat 3 { position(lid, THING) right [post: not open(THING)]; } release(lid, THING) right;",
        nouns=(CAPPED | LIDDED) - {"maker:coffee", "blender", "processor:food"}),
    Template(("screw",), get("THING", "both") + "repeat 4 { position(THING) both; } assemble(THING, TO) both; "
        "release(THING) both;", needs=("TO",)),
    Template(("screw",), get("THING", "both") + "repeat 3 { position(THING) both; } release(THING) both;"),
    Template(("lock",), "move(THING, TO) right; position(THING, TO) right; assemble(THING, TO) right "
        "[post: on(THING, TO), not open(TO)]; release(THING, TO) right;", needs=("TO",)),
    Template(("lock",), get("THING", "both") + "position(THING) both [post: not open(THING)]; release(THING) both;"),
    Template(("unlock",), "reach(THING) right; grasp(THING, FROM) right; position(THING, FROM) right; "
        "disassemble(THING, FROM) right [post: not on(THING, FROM), open(FROM)];", needs=("FROM",)),
    Template(("unlock",), get("THING", "left") + "hold(THING) left; reach(THING) right; grasp(THING) right; "
        "while not open(THING) max 3 { position(THING) right [post: open(THING)]; } release(THING) both;"),
    Template(("unroll",), get("TOOL", "both") + "move(TOOL, THING) both; repeat 4 { position(TOOL, THING) both; "
        "use(TOOL, THING) both; } release(TOOL) both;", nouns=frozenset({"dough", "pizza", "pie"}),
        tools=("pin:rolling",)),
    Template(("unroll",), get("THING", "both") + "repeat 2 { move(THING, top) both [post: open(THING)]; } "
        "release(THING, top) both [post: on(THING, top)];"),
    Template(("unroll",), get("THING", "both") + "repeat 2 { move(THING) both; } release(THING) both;"),
)  # fmt: skip
