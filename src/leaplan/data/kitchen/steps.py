"""The step classes: name, verb, noun, and the routine that does it. A step's id is its position."""

from dataclasses import dataclass

from leaplan.data.kitchen import routines
from leaplan.data.kitchen.routines import Cook, Routine


@dataclass(frozen=True, slots=True)
class StepClass:
    """One class of step.

    Args:
        verb, rest: Together the name, such as "pour" and "milk into bowl".
        noun: What it is about, such as "milk".
        routine, arguments: How a cook does it.
        uses: Objects that must stand ready before.
    """

    verb: str
    rest: str
    noun: str
    routine: Routine
    arguments: tuple[str, ...]
    uses: tuple[str, ...]

    @property
    def name(self) -> str:
        """What an annotator would write."""
        return f"{self.verb} {self.rest}"

    def perform(self, cook: Cook) -> None:
        """Do the step.

        Raises:
            ImpossibleError: The world is not ready for it.
        """
        self.routine(cook, *self.arguments)


def _step(verb: str, rest: str, noun: str, routine: Routine, *arguments: str, uses: str = "") -> StepClass:
    needed = (*arguments, *(name for name in uses.split(", ") if name))
    return StepClass(verb, rest, noun, routine, arguments, needed)


STEPS = (
    _step("wash", "tomato", "tomato", routines.wash, "tomato"),
    _step("wash", "cucumber", "cucumber", routines.wash, "cucumber"),
    _step("peel", "banana", "banana", routines.peel, "banana"),
    _step("cut", "tomato", "tomato", routines.cut, "tomato", uses="knife"),
    _step("cut", "cucumber", "cucumber", routines.cut, "cucumber", uses="knife"),
    _step("cut", "banana", "banana", routines.cut, "banana", uses="knife"),
    _step("cut", "onion", "onion", routines.cut, "onion", uses="knife"),
    _step("cut", "lemon", "lemon", routines.cut, "lemon", uses="knife"),
    _step("cut", "sandwich", "sandwich", routines.cut, "bread", uses="knife"),
    _step("put", "tomato in bowl", "tomato", routines.put, "tomato", "bowl"),
    _step("put", "cucumber in bowl", "cucumber", routines.put, "cucumber", "bowl"),
    _step("put", "banana in bowl", "banana", routines.put, "banana", "bowl"),
    _step("put", "tomato in pan", "tomato", routines.put, "tomato", "pan"),
    _step("put", "onion in pan", "onion", routines.put, "onion", "pan"),
    _step("put", "bread on plate", "bread", routines.put, "bread", "plate"),
    _step("put", "tomato on bread", "tomato", routines.put, "tomato", "bread"),
    _step("put", "cheese on bread", "cheese", routines.put, "cheese", "bread"),
    _step("spread", "butter on bread", "butter", routines.spread, "butter", "bread", uses="knife"),
    _step("close", "sandwich", "sandwich", routines.put, "top bread", "bread"),
    _step("put", "sandwich in pan", "sandwich", routines.put, "bread", "pan"),
    _step("crack", "egg into bowl", "egg", routines.crack, "bowl", uses="egg 1, egg 2, egg 3"),
    _step("crack", "egg into pan", "egg", routines.crack, "pan", uses="egg 1, egg 2, egg 3"),
    _step("pour", "milk into bowl", "milk", routines.pour, "milk carton", "bowl"),
    _step("pour", "milk into cup", "milk", routines.pour, "milk carton", "cup"),
    _step("pour", "flour into bowl", "flour", routines.pour, "flour bag", "bowl"),
    _step("pour", "oats into bowl", "oats", routines.pour, "oats box", "bowl"),
    _step("pour", "oil into bowl", "oil", routines.pour, "oil bottle", "bowl"),
    _step("pour", "oil into pan", "oil", routines.pour, "oil bottle", "pan"),
    _step("pour", "honey into bowl", "honey", routines.pour, "honey jar", "bowl"),
    _step("pour", "honey over food", "honey", routines.pour, "honey jar", "plate"),
    _step("pour", "water into cup", "water", routines.pour, "kettle", "cup"),
    _step("pour", "water into pan", "water", routines.pour, "kettle", "pan"),
    _step("pour", "mixture into pan", "mixture", routines.pour, "bowl", "pan"),
    _step("pour", "soup into bowl", "soup", routines.pour, "pan", "bowl"),
    _step("put", "food on plate", "food", routines.pour, "pan", "plate"),
    _step("add", "salt to bowl", "salt", routines.shake, "salt shaker", "bowl"),
    _step("add", "salt to pan", "salt", routines.shake, "salt shaker", "pan"),
    _step("add", "pepper to bowl", "pepper", routines.shake, "pepper shaker", "bowl"),
    _step("add", "pepper to pan", "pepper", routines.shake, "pepper shaker", "pan"),
    _step("add", "sugar to bowl", "sugar", routines.pour, "sugar jar", "bowl"),
    _step("add", "sugar to cup", "sugar", routines.pour, "sugar jar", "cup"),
    _step("add", "coffee to cup", "coffee", routines.pour, "coffee jar", "cup"),
    _step("stir", "bowl", "bowl", routines.stir, "bowl", uses="spoon"),
    _step("stir", "pan", "pan", routines.stir, "pan", uses="spoon"),
    _step("stir", "cup", "cup", routines.stir, "cup", uses="spoon"),
    _step("flip", "food", "food", routines.flip, uses="spatula, pan"),
    _step("turn on", "stove", "stove", routines.turn_on, "stove"),
    _step("turn off", "stove", "stove", routines.turn_off, "stove"),
    _step("fill", "kettle", "kettle", routines.fill, "kettle"),
    _step("turn on", "kettle", "kettle", routines.turn_on, "kettle"),
    _step("put", "tea bag in cup", "tea bag", routines.put, "tea bag", "cup"),
    _step("take out", "tea bag", "tea bag", routines.put, "tea bag", "table", uses="cup"),
    _step("squeeze", "lemon into cup", "lemon", routines.squeeze, "lemon", "cup"),
)

STEP_ID = {step.name: index for index, step in enumerate(STEPS)}

#: What a narrator says for a verb; the step's own verb among them.
SYNONYMS = {
    "wash": ("wash", "rinse"),
    "peel": ("peel",),
    "cut": ("cut", "slice", "chop"),
    "put": ("put", "place"),
    "spread": ("spread", "smear"),
    "close": ("close", "cover"),
    "crack": ("crack", "break"),
    "pour": ("pour", "add"),
    "add": ("add", "put"),
    "stir": ("stir", "mix"),
    "flip": ("flip", "turn over"),
    "turn on": ("turn on", "switch on"),
    "turn off": ("turn off", "switch off"),
    "fill": ("fill",),
    "take out": ("take out", "remove"),
    "squeeze": ("squeeze",),
}
