"""Videos that could not be read are counted by epoch and listed once, by all processes of a run together."""

from multiprocessing import get_context

from leaplan.recognition.broken import BrokenVideos


def test_clips_are_counted_by_epoch_and_videos_listed_once(tmp_path, capsys):
    broken = BrokenVideos(tmp_path / "broken_videos.txt")
    broken.add([("a", "is empty"), ("a", "is empty"), ("b", "two\nlines")], 0)
    broken.add([], 0)
    assert broken.count == 3
    broken.add([("a", "is empty")], 1)
    assert broken.count == 1
    broken.add([], 2)
    assert broken.count == 0
    assert broken.path.read_text() == "a\tis empty\nb\ttwo lines\n"
    assert capsys.readouterr().out == f"2 broken videos so far, listed in {broken.path}\n"


def test_without_broken_videos_there_is_no_list(tmp_path):
    BrokenVideos(tmp_path / "broken_videos.txt").add([], 0)
    assert list(tmp_path.iterdir()) == []


def add(path, first):
    broken = BrokenVideos(path)
    for number in range(first, first + 60):
        broken.add([(f"video {number}", "is empty")], 0)


def test_all_processes_of_a_run_and_its_later_starts_share_the_list(tmp_path):
    path = tmp_path / "broken_videos.txt"
    context = get_context("fork")
    processes = [context.Process(target=add, args=(path, first)) for first in (0, 30)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    add(path, 60)
    listed = [line.partition("\t")[0] for line in path.read_text().splitlines()]
    assert sorted(listed) == sorted(f"video {number}" for number in range(120))
