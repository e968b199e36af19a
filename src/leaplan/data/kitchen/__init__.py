"""A synthetic kitchen: people who cook, simulated, filmed and annotated. Call `ensure_kitchen`.

From whole to part: write (the folder), worker (one video), evidence (what is written about it), render
and staging (what is seen), simulate (what happens), recipes, steps, routines and primitives (what can
happen), cast (who does it).
"""

from leaplan.data.kitchen.write import ensure_kitchen

__all__ = ["ensure_kitchen"]
