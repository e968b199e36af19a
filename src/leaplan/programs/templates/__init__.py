"""Templates of EPIC-KITCHENS' 97 verb classes, grouped by meaning: library H for generation without a language model.

Open a module to read how an action is done. `THING`, `ALSO`, `TO`, `FROM` and `TOOL` stand for the clip's nouns.
"""

from leaplan.programs.templates import (
    cleaning,
    cutting,
    mixing,
    opening,
    perceiving,
    placing,
    shaping,
    switching,
    taking,
)
from leaplan.programs.templates.template import Template

#: All templates; among those of a verb the first that fits is taken, so special cases come first.
TEMPLATES: tuple[Template, ...] = (
    *taking.TEMPLATES,
    *placing.TEMPLATES,
    *opening.TEMPLATES,
    *switching.TEMPLATES,
    *cleaning.TEMPLATES,
    *cutting.TEMPLATES,
    *mixing.TEMPLATES,
    *shaping.TEMPLATES,
    *perceiving.TEMPLATES,
)
