"""What was filmed and annotated. Frozen records that every room may read; no behaviour beyond look-ups.

Times are seconds (float), counted from the start of the video. Step, task, verb and noun ids are
0-based positions in the `Vocabulary`, whatever numbering the dataset's own files use.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Step:
    """One class of step (an action of EPIC-KITCHENS is a step with a verb and a noun).

    Args:
        key: The id that the dataset's own files use, as text; unique in a vocabulary.
        name: What an annotator would read, such as "pour milk".
        task: Index of the task the step belongs to; None where tasks share it or there are none.
        verb: Index into `Vocabulary.verbs`, or None.
        noun: Index into `Vocabulary.nouns`, or None.
    """

    key: str
    name: str
    task: int | None = None
    verb: int | None = None
    noun: int | None = None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All classes of a dataset. A class id is its position."""

    steps: tuple[Step, ...]
    tasks: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    nouns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """One annotated step of a video.

    Args:
        id: Unique in the dataset and stable across runs.
        start, stop: Seconds, start < stop.
        step: Index into `Vocabulary.steps`.
        text: Narration or label as annotated; "" if there is none.
        has_error: The person made a mistake in this step (CaptainCook4D); None where not annotated.
    """

    id: str
    start: float
    stop: float
    step: int
    text: str = ""
    has_error: bool | None = None


@dataclass(frozen=True, slots=True)
class Video:
    """One video with its segments in annotation order (that of the dataset's own files).

    Args:
        id: Unique in the dataset.
        task: Index into `Vocabulary.tasks`, or None.
        duration: Seconds, or None where the dataset does not tell.
        split: "train", "val", "test", or "" for a video that the split protocol leaves out.
        segments: Annotation order, not necessarily sorted by start.
        person: Who is filmed, or "" where not told.
        frame_rate: Frames per second that the annotations count frames in, or None where they do not.
    """

    id: str
    task: int | None
    duration: float | None
    split: str
    segments: tuple[Segment, ...]
    person: str = ""
    frame_rate: float | None = None


@dataclass(frozen=True, slots=True)
class WindowRef:
    """A window that a split protocol lists one by one: `horizon` segments of `video` from `first` on."""

    video: str
    first: int
    horizon: int


@dataclass(frozen=True, slots=True)
class Annotations:
    """A dataset under one split protocol.

    Args:
        dataset: Name as on the command line, such as "crosstask".
        protocol: Name of the split protocol, such as "pdpp".
        vocabulary: All classes.
        videos: All annotated videos, those of no split included.
        windows: For protocols that split windows instead of videos (P3IV): split name to windows.
            A video then carries the split "train" if any of its windows is for training.
        notes: What a reader of the results must know, such as a validation part that was carved out.
        sha256: Content hash of the annotation and split files that were read.
        tail_verbs, tail_nouns: Rare classes, whose figures are told apart (EPIC-KITCHENS).
        unseen_persons: Persons of the test split who are in no training video, likewise.
    """

    dataset: str
    protocol: str
    vocabulary: Vocabulary
    videos: tuple[Video, ...]
    windows: Mapping[str, tuple[WindowRef, ...]] | None = None
    notes: tuple[str, ...] = field(default=())
    sha256: str = ""
    tail_verbs: frozenset[int] = frozenset()
    tail_nouns: frozenset[int] = frozenset()
    unseen_persons: frozenset[str] = frozenset()

    def of_split(self, split: str) -> tuple[Video, ...]:
        """Return the videos of `split`."""
        return tuple(video for video in self.videos if video.split == split)


@dataclass(frozen=True, slots=True)
class PlanningProblem:
    """What a planner must know of a dataset to be built.

    Args:
        horizon: T, number of steps to plan.
        vocabulary: The step and task classes.
        seconds: S, observed feature vectors at the start, and as many at the goal.
        width: D, width of a feature vector.
    """

    horizon: int
    vocabulary: Vocabulary
    seconds: int
    width: int


@dataclass(frozen=True, slots=True)
class ProgramClasses:
    """What action programs are made of, as classes.

    Args:
        slots: K, sub-actions of a program at most.
        verbs: Class 0 is "stop", which pads programs shorter than K.
        objects: Of the arguments A and B; class 0 is "none", class 1 "other".
        conditions: P conditions relative to a slot, such as "not holding(right, A)".
    """

    slots: int
    verbs: tuple[str, ...]
    objects: tuple[str, ...]
    conditions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecognitionProblem:
    """What a recogniser or anticipator must know of a dataset to be built.

    Args:
        vocabulary: Steps are the actions; verbs and nouns where the dataset has them.
        windows: W, 1 in recognition, the number of windows before an action in anticipation.
        rows: T frames or S feature rows per window.
        width: D, width of a feature row; 0 where frames are decoded.
        programs: Classes of the programs that supervise, None without programs.
        gap: Seconds between what is seen and the action; None in recognition.
    """

    vocabulary: Vocabulary
    windows: int
    rows: int
    width: int
    programs: ProgramClasses | None = None
    gap: float | None = None
