"""The datasets, and what samples are made of, by short names; each is imported when it is first asked for.

import leaplan

data = leaplan.data.Niv("data").setup()  # annotations under a named split protocol, checked
features = leaplan.data.Features("features", rounding="floor")
data = leaplan.data.Niv("data", leaplan.data.PlanningWindows(3), features).setup()
start, goal = data.windows("test").start, data.windows("test").goal  # (M, S, D)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leaplan.data.captaincook4d import CaptainCook4D
    from leaplan.data.coin import Coin
    from leaplan.data.crosstask import CrossTask
    from leaplan.data.epic_kitchens import EpicKitchens
    from leaplan.data.frames import Frames
    from leaplan.data.niv import Niv
    from leaplan.data.sources import Features, SegmentFeatures
    from leaplan.data.synthetic import SyntheticKitchen
    from leaplan.data.views import ActionClips, AnticipationClips, PlanningWindows

__all__ = [
    "ActionClips",
    "AnticipationClips",
    "CaptainCook4D",
    "Coin",
    "CrossTask",
    "EpicKitchens",
    "Features",
    "Frames",
    "Niv",
    "PlanningWindows",
    "SegmentFeatures",
    "SyntheticKitchen",
]

_FILES = {
    **{"Niv": "niv", "Coin": "coin", "CrossTask": "crosstask", "CaptainCook4D": "captaincook4d"},
    **{"EpicKitchens": "epic_kitchens", "SyntheticKitchen": "synthetic", "Frames": "frames"},
    **{"Features": "sources", "SegmentFeatures": "sources"},
    **{"PlanningWindows": "views", "ActionClips": "views", "AnticipationClips": "views"},
}


def __getattr__(name: str) -> Any:
    """Import a name of `__all__`."""
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
