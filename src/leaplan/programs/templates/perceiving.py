"""Looking, checking, searching, feeling, smelling, waiting, eating, drinking."""

from leaplan.programs.templates.nouns import FIXED, LIQUIDS, STORAGE, VESSELS
from leaplan.programs.templates.template import Template, get, opened, work

_SIP = "repeat 2 { move(THING, face) right; position(THING, face) right; move(THING) right; } "

TEMPLATES = (
    Template(("check", "look", "search"), opened("THING", "right") + "inspect(THING) right [pre: visible(THING)];",
        nouns=STORAGE),
    Template(("check", "look"), get("TOOL") + "move(TOOL, THING) right; use(TOOL, THING) right; "
        "inspect(THING) right [pre: visible(THING)]; release(TOOL) right;", needs=("TOOL",)),
    Template(("check", "look"), "if not visible(THING) { search(THING, TO); } inspect(THING);", needs=("TO",),
        opens=("TO",)),
    Template(("check", "look"), "if not visible(THING) { search(THING, FROM); } inspect(THING);", needs=("FROM",),
        opens=("FROM",)),
    Template(("check",), get("THING") + "position(THING) right; inspect(THING) right [pre: visible(THING)]; "
        "release(THING) right;", nouns=frozenset({"package", "box", "bottle", "jar", "meat", "bread", "egg", "can"})),
    Template(("check", "look"), "if not visible(THING) { search(THING); } inspect(THING);"),
    Template(("search",), "search(THING, TO); inspect(THING); reach(THING) right;", needs=("TO",), opens=("TO",)),
    Template(("search",), "search(THING, FROM); inspect(THING); reach(THING) right;", needs=("FROM",), opens=("FROM",)),
    Template(("search",), "while not visible(THING) max 3 { search(THING); } inspect(THING) [pre: visible(THING)]; "
        "reach(THING) right;"),
    Template(("feel",), get("THING") + "hold(THING) right; release(THING) right;",
        nouns=frozenset({"bread", "dough", "towel", "cloth", "jar", "glove"})),
    Template(("feel",), "repeat 2 { reach(THING) right [post: in_contact(right, THING)]; }"),
    Template(("smell",), "inspect(THING) [pre: visible(THING)];", nouns=FIXED),
    Template(("smell",), get("THING") + "move(THING, face) right; inspect(THING) right [pre: visible(THING)]; "
        "move(THING) right; release(THING) right;"),
    Template(("smell",), "inspect(THING) [pre: visible(THING)];"),
    Template(("wait",), work("inspect(THING) [pre: visible(THING)] [post: hot(THING)];", most=5, until="hot(THING)"),
        nouns=LIQUIDS | VESSELS | {"rice", "sausage", "pasta", "egg", "meat", "chicken", "food", "heat"}),
    Template(("wait",), "repeat 2 { inspect(THING) [pre: visible(THING)]; }"),
    Template(("eat",), get("TOOL") + "repeat 2 { move(TOOL, THING) right; use(TOOL, THING) right [post: "
        "on(THING, TOOL)]; "
        "move(TOOL, face) right [post: not on(THING, TOOL)]; } release(TOOL) right;", needs=("TOOL",)),
    Template(("eat",), "reach(THING) right; grasp(THING, FROM) right [post: not in(THING, FROM)]; "
        "move(THING, face) right; release(THING, face) right;", needs=("FROM",)),
    Template(("eat",), get("THING") + "repeat 2 { move(THING, face) right; } release(THING) right;"),
    Template(("eat",), get("THING") + "repeat 2 { move(THING) right; } release(THING) right;"),
    Template(("drink",), get("FROM") + _SIP.replace("THING", "FROM") + "release(FROM) right;", needs=("FROM",)),
    Template(("drink",), get("glass") + _SIP.replace("THING", "glass") + "move(glass, top) right; "
        "release(glass, top) right [post: on(glass, top), not in(THING, glass)];", nouns=LIQUIDS),
    Template(("drink",), get("THING") + _SIP + "move(THING, top) right; release(THING, top) right "
        "[post: on(THING, top), not full(THING)];"),
    Template(("drink",), get("THING") + "repeat 2 { move(THING) right; position(THING) right; } release(THING) right;"),
)  # fmt: skip
