"""A few invented clips in the format of EPIC-KITCHENS-100."""

from pathlib import Path

VERBS = ("take", "put", "wash", "open", "close", "ponder")
NOUNS = ("tap", "spoon", "plate", "cupboard", "knife", "bowl", "glass", "cup")
PLACES = (
    "counter",
    "top",
    "table",
    "sink",
    "drawer",
    "sponge",
    "towel",
    "cloth",
    "water",
    "food",
    "rack:drying",
    "bin",
)
HEADER = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)


def write_epic(root: Path, train: int = 12, validation: int = 4, narrations: int = 10_000) -> Path:
    """Write annotations of `train` + `validation` clips to `root/epic100`, with at most so many different narrations.

    Verbs and nouns alternate; further nouns are those that templates name. The last verb, "ponder", is in no
    template; it comes last in each round of verbs.
    """
    folder = root / "epic100"
    folder.mkdir(parents=True)
    _write_classes(folder / "EPIC_100_verb_classes.csv", VERBS)
    _write_classes(folder / "EPIC_100_noun_classes.csv", NOUNS + PLACES)
    _write_rows(folder / "EPIC_100_train.csv", "P01_01", train, narrations)
    _write_rows(folder / "EPIC_100_validation.csv", "P02_01", validation, narrations)
    return root


def _write_classes(path: Path, keys: tuple[str, ...]) -> None:
    rows = [f"{number},{key},\"['{key}']\",kitchen" for number, key in enumerate(keys)]
    path.write_text("\r\n".join(["id,key,instances,category", *rows, ""]), encoding="utf-8")


def _write_rows(path: Path, video: str, count: int, narrations: int) -> None:
    rows = [_row(video, number, number % narrations) for number in range(count)]
    path.write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")


def _row(video: str, number: int, kind: int) -> str:
    verb, noun = kind % len(VERBS), (kind // len(VERBS)) % len(NOUNS)
    start = f"{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}"
    narration = f"{VERBS[verb]} {NOUNS[noun]} {kind}" if kind % 5 != 4 else ""
    times = f"{start}.500,{start}.10,{start}.90"
    words = f"{narration},{VERBS[verb]},{verb},{NOUNS[noun]},{noun},['{NOUNS[noun]}'],[{noun}]"
    return f"{video}_{number},{video[:3]},{video},{times},{6 * number + 6},{6 * number + 54},{words}"
