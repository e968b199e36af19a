"""A validation part is carved by video, by task, and always the same."""

import random
from dataclasses import replace

import pytest

from leaplan.data.protocols import PROTOCOLS, nearest
from leaplan.data.splits import carve_validation, checksum, measure
from leaplan.errors import DataError
from leaplan.records import Annotations, Segment, Step, Video, Vocabulary, WindowRef


def annotations(sizes: dict[int, int], segments: int = 4, split: str = "train") -> Annotations:
    """Return `sizes[task]` training videos of each task, and two for testing."""

    def video(name: str, task: int, part: str) -> Video:
        cut = tuple(Segment(f"{name}:{i}", i, i + 1.0, 0) for i in range(segments))
        return Video(name, task, None, part, cut)

    videos = [video(f"v{task}-{i}", task, split) for task, size in sizes.items() for i in range(size)]
    videos += [video(f"t{i}", 0, "test") for i in range(2)]
    vocabulary = Vocabulary((Step("1", "stir"),), tuple(str(task) for task in sizes))
    return Annotations("crosstask", "none", vocabulary, tuple(videos))


def of(carved: Annotations, split: str) -> set[str]:
    return {video.id for video in carved.of_split(split)}


def test_each_task_gives_its_share_and_large_tasks_at_least_one():
    carved = carve_validation(annotations({0: 30, 1: 5, 2: 4, 3: 1}), 0.1, 7)
    per_task = [sum(video.task == task for video in carved.of_split("val")) for task in range(4)]
    assert per_task == [3, 1, 0, 0]
    assert of(carved, "train") | of(carved, "val") == of(annotations({0: 30, 1: 5, 2: 4, 3: 1}), "train")
    assert of(carved, "test") == {"t0", "t1"}
    assert carved.notes == (
        "4 of 40 training videos are set aside for validation (share 0.1, seed 7), because the protocol has "
        "no validation part",
    )


def test_small_sets_give_at_least_one_and_never_all():
    assert len(of(carve_validation(annotations({0: 1, 1: 1}), 0.01, 7), "val")) == 1
    carved = carve_validation(annotations({0: 2, 1: 6}), 0.99, 7)
    assert {video.task for video in carved.of_split("train")} == {0, 1}


def test_the_choice_ignores_the_order_of_videos_and_follows_the_seed():
    given = annotations({0: 20, 1: 20})
    shuffled = list(given.videos)
    random.Random(0).shuffle(shuffled)
    first = of(carve_validation(given, 0.2, 7), "val")
    assert of(carve_validation(replace(given, videos=tuple(shuffled)), 0.2, 7), "val") == first
    assert of(carve_validation(given, 0.2, 8), "val") != first
    assert of(carve_validation(given, 0.1, 7), "val") < first  # a smaller share is a part of a larger one


def test_a_protocol_with_a_validation_part_is_left_alone():
    given = annotations({0: 9})
    given = replace(given, videos=(replace(given.videos[0], split="val"), *given.videos[1:]))
    assert carve_validation(given, 0.5, 7) is given


def test_videos_without_segments_are_never_chosen():
    given = annotations({0: 10})
    empty = tuple(replace(video, segments=()) for video in given.videos[:8])
    carved = carve_validation(replace(given, videos=empty + given.videos[8:]), 0.5, 7)
    assert of(carved, "val") <= {"v0-8", "v0-9"}
    assert len(of(carved, "val")) == 1


def test_listed_windows_follow_their_video_and_test_windows_stay():
    given = annotations({0: 10})
    names = [video.id for video in given.of_split("train")]
    windows = {
        "train": tuple(WindowRef(name, 0, 3) for name in names),
        "test": tuple(WindowRef(name, 1, 3) for name in names),
    }
    carved = carve_validation(replace(given, windows=windows), 0.2, 7)
    assert carved.windows is not None
    chosen = of(carved, "val")
    assert len(chosen) == 2
    assert {ref.video for ref in carved.windows["val"]} == chosen
    assert {ref.video for ref in carved.windows["train"]} == set(names) - chosen
    assert carved.windows["test"] == windows["test"]
    assert carve_validation(carved, 0.2, 7) is carved


def test_a_share_of_0_sets_nothing_aside_and_says_so():
    given = annotations({0: 9})
    whole = carve_validation(given, 0.0, 7)
    assert whole.videos == given.videos
    assert "no video is set aside" in whole.notes[-1]


@pytest.mark.parametrize("share", [1.0, -0.1, 2.0, float("nan")])
def test_a_share_below_0_or_of_1_and_more_is_refused(share: float):
    with pytest.raises(DataError, match="must be at least 0 and below 1"):
        carve_validation(annotations({0: 9}), share, 7)


@pytest.mark.parametrize("given", [annotations({}), annotations({0: 9}, segments=0), annotations({0: 1})])
def test_too_few_training_videos_are_refused(given: Annotations):
    with pytest.raises(DataError, match=r"split 'train' of crosstask, protocol 'none', has \d annotated videos"):
        carve_validation(given, 0.1, 7)


def test_counts_and_checksum_of_splits():
    given = annotations({0: 3})
    assert measure(given)["train"].windows == (6, 3, 0, 0)
    assert measure(given)["test"].segments == 8
    assert checksum(given) == checksum(replace(given, videos=given.videos[::-1]))
    assert checksum(given) != checksum(replace(given, videos=given.videos[1:]))


def test_every_protocol_names_train_and_test():
    for protocols in PROTOCOLS.values():
        for protocol in protocols.values():
            assert set(protocol.splits) >= {"train", "test"}


def test_the_nearest_word():
    assert nearest("Cross-Task", PROTOCOLS) == "crosstask"
    assert nearest("captaincook", PROTOCOLS) == "captaincook4d"
