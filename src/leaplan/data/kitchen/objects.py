"""Everything that can stand, lie or be held in the synthetic kitchen, by name.

An object's name is its class as well ("egg 2" is an "egg", see `noun`). Stuff is what comes out of a
package: it has no place of its own before it is poured.
"""

HANDS = ("left", "right")

#: Built in, never carried.
FIXTURES = ("table", "board", "stove", "tap")

#: They hold things: `in(thing, vessel)`. Things lie *on* a plate.
VESSELS = ("bowl", "pan", "cup", "plate", "kettle")

TOOLS = ("knife", "spoon", "spatula")

#: Package to the stuff that is poured or shaken out of it.
PACKAGES = {
    "oil bottle": "oil",
    "milk carton": "milk",
    "flour bag": "flour",
    "oats box": "oats",
    "honey jar": "honey",
    "sugar jar": "sugar",
    "coffee jar": "coffee",
    "salt shaker": "salt",
    "pepper shaker": "pepper",
}

#: Packages with a cap or lid that has to be opened before the first use.
CAPPED = ("oil bottle", "milk carton", "honey jar", "coffee jar", "sugar jar")

#: Stuff that is no package's: it comes from a kettle, a tea bag or a lemon.
OTHER_STUFF = ("water", "tea", "lemon juice")

FOODS = (
    "tomato",
    "cucumber",
    "onion",
    "banana",
    "lemon",
    "egg 1",
    "egg 2",
    "egg 3",
    "bread",
    "top bread",
    "cheese",
    "butter",
    "tea bag",
)

#: Never touched; they are there to be mistaken for something.
DISTRACTORS = ("apple", "orange", "towel", "phone", "notebook", "glass", "plant", "tin")

#: Every name that an argument of a sub-action may have, besides hands and "none".
OBJECTS = (*FIXTURES, *VESSELS, *TOOLS, *PACKAGES, *PACKAGES.values(), *OTHER_STUFF, *FOODS)


def noun(name: str) -> str:
    """Return the class of the object `name`: "egg" for "egg 2", otherwise the name itself."""
    return name.rstrip(" 0123456789")
