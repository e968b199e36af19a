"""The tasks: which steps each has, which of them are optional, and what must come after what.

Steps are listed in the order most people prefer. Whatever `after` leaves open is decided per person
and per video, so one task is done in many orders.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Use:
    """A step of a recipe.

    Args:
        step: Name of a step class.
        after: Names of the steps that must be done before it, where the video has them at all.
        chance: Share of the videos that have it.
        variant: Only in this variant of the recipe; "" for all.
    """

    step: str
    after: tuple[str, ...] = ()
    chance: float = 1.0
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A task.

    Args:
        name: The task's name.
        uses: Its steps in the preferred order; a step listed twice is done twice.
        variants: One of them is drawn per video.
    """

    name: str
    uses: tuple[Use, ...]
    variants: tuple[str, ...] = ("",)


def _use(step: str, *after: str, chance: float = 1.0, variant: str = "") -> Use:
    return Use(step, after, chance, variant)


_INTO_BOWL = ("crack egg into bowl", "pour milk into bowl", "add salt to bowl", "add pepper to bowl")

RECIPES = (
    Recipe(
        "tomato salad",
        (
            _use("wash tomato"),
            _use("cut tomato", "wash tomato"),
            _use("put tomato in bowl", "cut tomato"),
            _use("wash cucumber"),
            _use("cut cucumber", "wash cucumber"),
            _use("put cucumber in bowl", "cut cucumber"),
            _use("pour oil into bowl", "put tomato in bowl"),
            _use("add salt to bowl", "put tomato in bowl"),
            _use("add pepper to bowl", "put cucumber in bowl", chance=0.5),
            _use("stir bowl", "put cucumber in bowl", "pour oil into bowl", *_INTO_BOWL),
        ),
    ),
    Recipe(
        "omelette",
        (
            _use("crack egg into bowl"),
            _use("crack egg into bowl"),
            _use("crack egg into bowl", chance=0.3),
            _use("pour milk into bowl", chance=0.5),
            _use("add salt to bowl", "crack egg into bowl"),
            _use("add pepper to bowl", "crack egg into bowl", chance=0.4),
            _use("stir bowl", *_INTO_BOWL),
            _use("turn on stove"),
            _use("pour oil into pan"),
            _use("pour mixture into pan", "stir bowl", "pour oil into pan"),
            _use("flip food", "pour mixture into pan", "turn on stove"),
            _use("put food on plate", "flip food"),
            _use("turn off stove", "flip food"),
        ),
    ),
    Recipe(
        "pancake",
        (
            _use("pour flour into bowl"),
            _use("crack egg into bowl"),
            _use("pour milk into bowl"),
            _use("add sugar to bowl", chance=0.5),
            _use("stir bowl", "pour flour into bowl", "add sugar to bowl", *_INTO_BOWL),
            _use("turn on stove"),
            _use("pour oil into pan"),
            _use("pour mixture into pan", "stir bowl", "pour oil into pan"),
            _use("flip food", "pour mixture into pan", "turn on stove"),
            _use("put food on plate", "flip food"),
            _use("turn off stove", "flip food"),
            _use("pour honey over food", "put food on plate", chance=0.6),
        ),
    ),
    Recipe(
        "cheese sandwich",
        (
            _use("wash tomato", chance=0.6),
            _use("cut tomato", "wash tomato"),
            _use("put bread on plate"),
            _use("spread butter on bread", "put bread on plate", chance=0.8),
            _use("put cheese on bread", "put bread on plate", "spread butter on bread"),
            _use("put tomato on bread", "put bread on plate", "cut tomato", "spread butter on bread"),
            _use("close sandwich", "put cheese on bread", "put tomato on bread"),
            _use("cut sandwich", "close sandwich"),
        ),
    ),
    Recipe(
        "toasted sandwich",
        (
            _use("put bread on plate"),
            _use("spread butter on bread", "put bread on plate", chance=0.6),
            _use("put cheese on bread", "put bread on plate", "spread butter on bread"),
            _use("close sandwich", "put cheese on bread"),
            _use("turn on stove"),
            _use("pour oil into pan", chance=0.6),
            _use("put sandwich in pan", "close sandwich", "pour oil into pan"),
            _use("flip food", "put sandwich in pan", "turn on stove"),
            _use("put food on plate", "flip food"),
            _use("turn off stove", "flip food"),
            _use("cut sandwich", "put food on plate", chance=0.5),
        ),
    ),
    Recipe(
        "tea",
        (
            _use("fill kettle"),
            _use("turn on kettle", "fill kettle"),
            _use("put tea bag in cup"),
            _use("pour water into cup", "turn on kettle", "put tea bag in cup"),
            _use("take out tea bag", "pour water into cup"),
            _use("add sugar to cup", chance=0.6),
            _use("pour milk into cup", "pour water into cup", variant="milk"),
            _use("cut lemon", variant="lemon"),
            _use("squeeze lemon into cup", "cut lemon", "pour water into cup", variant="lemon"),
            _use(
                "stir cup",
                "take out tea bag",
                "add sugar to cup",
                "pour milk into cup",
                "squeeze lemon into cup",
            ),
        ),
        variants=("milk", "lemon"),
    ),
    Recipe(
        "coffee",
        (
            _use("fill kettle"),
            _use("turn on kettle", "fill kettle"),
            _use("add coffee to cup"),
            _use("add sugar to cup", chance=0.6),
            _use("add sugar to cup", chance=0.25),
            _use("pour water into cup", "turn on kettle", "add coffee to cup"),
            _use("pour milk into cup", "add coffee to cup", chance=0.8),
            _use("stir cup", "pour water into cup", "pour milk into cup", "add sugar to cup"),
            _use("stir cup", "pour water into cup", chance=0.25),
        ),
    ),
    Recipe(
        "fried eggs on bread",
        (
            _use("turn on stove"),
            _use("pour oil into pan"),
            _use("crack egg into pan", "pour oil into pan"),
            _use("crack egg into pan", "pour oil into pan", chance=0.5),
            _use("add salt to pan", "crack egg into pan"),
            _use("add pepper to pan", "crack egg into pan", chance=0.5),
            _use("put bread on plate"),
            _use("spread butter on bread", "put bread on plate", chance=0.6),
            _use(
                "put food on plate",
                "turn on stove",
                "add salt to pan",
                "add pepper to pan",
                "put bread on plate",
                "spread butter on bread",
            ),
            _use("turn off stove", "put food on plate"),
        ),
    ),
    Recipe(
        "banana oats",
        (
            _use("pour oats into bowl"),
            _use("pour milk into bowl"),
            _use("peel banana"),
            _use("cut banana", "peel banana"),
            _use("put banana in bowl", "cut banana"),
            _use("pour honey into bowl", "pour oats into bowl", variant="honey"),
            _use("add sugar to bowl", "pour oats into bowl", variant="sugar"),
            _use("stir bowl", "pour oats into bowl", "pour milk into bowl", chance=0.3),
            _use(
                "stir bowl",
                "put banana in bowl",
                "pour honey into bowl",
                "add sugar to bowl",
                "pour milk into bowl",
            ),
        ),
        variants=("honey", "sugar"),
    ),
    Recipe(
        "tomato soup",
        (
            _use("wash tomato"),
            _use("cut tomato", "wash tomato"),
            _use("turn on stove"),
            _use("pour oil into pan"),
            _use("cut onion", variant="onion"),
            _use("put onion in pan", "cut onion", "pour oil into pan", variant="onion"),
            _use("put tomato in pan", "cut tomato", "pour oil into pan"),
            _use("fill kettle"),
            _use("pour water into pan", "fill kettle", "put tomato in pan", "put onion in pan"),
            _use("add salt to pan", "put tomato in pan"),
            _use("add pepper to pan", "put tomato in pan", chance=0.4),
            _use("stir pan", "turn on stove", "pour water into pan", "add salt to pan", "add pepper to pan"),
            _use("turn off stove", "stir pan"),
            _use("pour soup into bowl", "stir pan"),
        ),
        variants=("plain", "onion"),
    ),
)
