"""Named split protocols: what each must contain. The readers apply them, `check-data` compares with them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

from leaplan.errors import DataError

HORIZONS = (3, 4, 5, 6)


@dataclass(frozen=True, slots=True)
class Counts:
    """What a split holds; None where it is not known.

    Args:
        videos: Videos; for protocols that list windows, those with a window in the split.
        segments: Annotated segments of these videos; None for protocols that list windows.
        windows: Planning windows of 3, 4, 5 and 6 steps.
    """

    videos: int
    segments: int | None
    windows: tuple[int | None, int | None, int | None, int | None]

    @property
    def numbers(self) -> tuple[int | None, ...]:
        """All counts in a row."""
        return (self.videos, self.segments, *self.windows)


@dataclass(frozen=True, slots=True)
class Protocol:
    """A published split protocol.

    Args:
        splits: What each split must hold.
        sha256: `checksum` of the published lists, "" where they could not be had.
    """

    splits: Mapping[str, Counts]
    sha256: str = ""


def protocol_of(dataset: str, name: str) -> Protocol:
    """Return the protocol `name` of `dataset`.

    Raises:
        DataError: There is none of that name.
    """
    if name not in PROTOCOLS[dataset]:
        raise DataError(
            f"{dataset} has no protocol '{name}'; it has {', '.join(PROTOCOLS[dataset])}",
            f"Set --data.protocol {nearest(name, PROTOCOLS[dataset])}",
        )
    return PROTOCOLS[dataset][name]


def nearest(word: str, words: Iterable[str]) -> str:
    """Return the one of `words` that is most like `word`."""
    return max(words, key=lambda other: SequenceMatcher(None, word.lower(), other).ratio())


CLASSES: Mapping[str, tuple[int, int]] = {  # steps, tasks
    "crosstask": (133, 18),
    "niv": (48, 5),
    "coin": (778, 180),
    "epic_kitchens": (3806, 0),
    "captaincook4d": (350, 24),
}
_LISTED = (None, None, None)

# Counts of CrossTask, NIV, COIN: PlanLLM's and SCHEMA's lists applied to the official annotations. Those of
# EPIC-KITCHENS and CaptainCook4D: the official files. COIN's official lists could not be had; its numbers
# are the published ones.
PROTOCOLS: Mapping[str, Mapping[str, Protocol]] = {
    "crosstask": {
        "base": Protocol(
            {
                "train": Counts(2200, 16647, (12293, 10233, 8321, 6636)),
                "test": Counts(340, 2702, (2030, 1716, 1425, 1162)),
            },
            "d8094af5db137439cc0f1fe726385cfa2dd549eaa5e574dfd65f112fe39a77e1",
        ),
        "pdpp": Protocol(
            {
                "train": Counts(1943, 14734, (10892, 9081, 7393, 5897)),
                "test": Counts(805, 6163, (4567, 3814, 3124, 2511)),
            },
            "d65cf01b0a962b5ce53789efe4493eaf5e9b45dd5da961981573723caa715abd",
        ),
        "p3iv": Protocol(
            {
                "train": Counts(2025, None, (9153, *_LISTED)),
                "test": Counts(1672, None, (3923, *_LISTED)),
            },
            "71ccc15fc12ee06c6c3735d8474a31e33d5bc492270a7586d45c72a47c1b1c26",
        ),
    },
    "niv": {
        "schema": Protocol(
            {
                "train": Counts(103, 897, (691, 589, 487, 389)),
                "test": Counts(45, 423, (333, 288, 244, 201)),
            },
            "358be38c63f1482921df7de1a4efa93c7e3a728953cfefcc2aab0d8ec3a65cac",
        ),
        "pdpp": Protocol(
            {
                "train": Counts(100, 897, (697, 598, 499, 403)),
                "test": Counts(42, 354, (270, 228, 187, 148)),
            },
            "5933de3a8bd7d329467480ba859c1c38d4fc5847b70e9ae1c3e0c90d7dba72c0",
        ),
        "p3iv": Protocol(
            {
                "train": Counts(103, None, (690, *_LISTED)),
                "test": Counts(43, None, (333, *_LISTED)),
            },
            "02990281770ae7585c63e53553385f8758d672decc0d5a5b4d6fae163b949368",
        ),
    },
    "coin": {
        "official": Protocol(
            {
                "train": Counts(9030, None, (None, *_LISTED)),
                "test": Counts(2797, None, (5299, 3287, None, None)),
            },
        ),
        "pdpp": Protocol(
            {
                "train": Counts(7064, 27826, (13698, 8537, 5252, 3395)),
                "test": Counts(3006, 11583, (5571, 3391, 2029, 1309)),
            },
            "8a4364e9d9ee3eb19b05970eced19edef5f7a09358e3b848f1f9d12ef63b34fa",
        ),
    },
    "epic_kitchens": {
        "official": Protocol(
            {
                "train": Counts(495, 67217, (66229, 65739, 65252, 64766)),
                "test": Counts(138, 9668, (9392, 9254, 9119, 8985)),
            },
            "e86bb32eebbfdb16dc861deb57824768f712d0c4b90d9b0d67dcd2f931da1927",
        ),
    },
    "captaincook4d": {
        "recordings": Protocol(
            {
                "train": Counts(213, 2987, (2561, 2348, 2135, 1922)),
                "val": Counts(62, 884, (760, 698, 636, 574)),
                "test": Counts(109, 1542, (1324, 1215, 1106, 997)),
            },
            "5885bb46c968e8635512baacb06faeae549d47202184d55b5391bcee6005ecff",
        ),
        "person": Protocol(
            {
                "train": Counts(204, 2829, (2421, 2217, 2013, 1809)),
                "val": Counts(84, 1187, (1019, 935, 851, 767)),
                "test": Counts(96, 1397, (1205, 1109, 1013, 917)),
            },
            "388701f48b442204c4f1b3ae6b1f3a69bf7d9fa23496ac96f4d4afeec36c238d",
        ),
        "environment": Protocol(
            {
                "train": Counts(216, 2997, (2565, 2349, 2133, 1917)),
                "val": Counts(115, 1643, (1413, 1298, 1183, 1068)),
                "test": Counts(53, 773, (667, 614, 561, 508)),
            },
            "4018b78e6b46c5554bed8b6b71748b1ccd707e1456b1694ec48d1754a410f912",
        ),
        "recordings-normal": Protocol(
            {
                "train": Counts(90, 1341, (1161, 1071, 981, 891)),
                "val": Counts(26, 386, (334, 308, 282, 256)),
                "test": Counts(48, 705, (609, 561, 513, 465)),
            },
            "cf714cad03d354d605e335242bccd5e69aba64e69bf3b35899f377bd0b4a403e",
        ),
        "person-normal": Protocol(
            {
                "train": Counts(90, 1319, (1139, 1049, 959, 869)),
                "val": Counts(35, 556, (486, 451, 416, 381)),
                "test": Counts(39, 557, (479, 440, 401, 362)),
            },
            "f88a759ce12ac680b047307eb189a7f9cc1fd60eeac0993c0b64064824f5636e",
        ),
        "environment-normal": Protocol(
            {
                "train": Counts(84, 1186, (1018, 934, 850, 766)),
                "val": Counts(48, 738, (642, 594, 546, 498)),
                "test": Counts(32, 508, (444, 412, 380, 348)),
            },
            "b362dae44b09072fd05f99b7674791ece01eae9487b05cc9e1a12d3d0bf825dd",
        ),
        "recordings-probe": Protocol(
            {
                "train": Counts(213, 2987, (2561, 2348, 2135, 1922)),
                "test": Counts(171, 2426, (2084, 1913, 1742, 1571)),
            },
            "35e803d6b7bc73f0d5c656ff21ac47183f95c8863b161a205f98067608bbe7d9",
        ),
        "person-probe": Protocol(
            {
                "train": Counts(204, 2829, (2421, 2217, 2013, 1809)),
                "test": Counts(180, 2584, (2224, 2044, 1864, 1684)),
            },
            "b4214aaecced6020a5378088dca4d5641d9a5e784b46c8ce4b98e56803033fc1",
        ),
        "environment-probe": Protocol(
            {
                "train": Counts(216, 2997, (2565, 2349, 2133, 1917)),
                "test": Counts(168, 2416, (2080, 1912, 1744, 1576)),
            },
            "2482b670e260e905916ce1ef2c7b1bdbd7fbe15ce27a8b85187b60b649ee16b5",
        ),
    },
}
