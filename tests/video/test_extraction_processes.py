"""Extraction by processes: shards at once, killed, interrupted; on Ray; films of an hour. Each starts the real verb."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from leaplan.data.check import check
from tests.video.extraction_runs import H264, REPOSITORY, TINY, arguments, contents, extracted, finished, start
from tests.video.made_videos import make_video

pytestmark = pytest.mark.slow
COLORS = ("--encoder", "color_layout")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Return a folder of twelve short videos."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(12):
        make_video(folder / f"v{number:02d}.mp4", options=H264, frames=60 + 7 * number)
    return folder


def kitchen_films(count):
    """Return the first films of the synthetic kitchen that this machine has made."""
    films = sorted(Path("~/.cache/leaplan").expanduser().glob("kitchen-*/videos/*.mp4"))[:count]
    if len(films) < count:
        pytest.skip("the synthetic kitchen is not made: leaplan fit makes it")
    return films


def wait_for(condition, seconds=60):
    """Wait until `condition()` holds."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.01)


def same_with_three_shards_one_killed(tmp_path, source, encoder, slowly=()):
    """Extract once in one process, once by three shards of which one is killed half-way and started again."""
    code, said = finished(start(*arguments(source, tmp_path / "whole", *slowly, encoder=encoder)))
    assert code == 0, said
    count, out = extracted(said), tmp_path / "parts"
    work = [arguments(source, out, *slowly, "--shard", f"{index}/3", encoder=encoder) for index in range(3)]
    shards = [start(*words) for words in work]
    mine = dry_run(work[1])
    assert len(mine) > 1
    wait_for(lambda: sum((out / "provenance" / f"{name}.json").exists() for name in mine) > 0)
    shards[1].kill()
    assert shards[1].wait() == -signal.SIGKILL
    killed_after = sum((out / "provenance" / f"{name}.json").exists() for name in mine)
    assert killed_after < len(mine), "it was killed too late to show anything"
    ended = [finished(shards[0]), finished(start(*work[1])), finished(shards[2])]
    assert [code for code, _ in ended] == [0, 0, 0], ended
    assert killed_after + sum(extracted(said) for _, said in ended) == count
    whole, parts = contents(tmp_path / "whole"), contents(out)
    partial = [name for name in parts if name.endswith(".partial")]  # of what it was about to write when it was killed
    assert {name: parts[name] for name in parts if name not in partial} == whole


def dry_run(words):
    """Return the ids of a shard."""
    code, said = finished(start(*words, "--dry-run"))
    assert code == 0, said
    return [line.split()[0] for line in said.splitlines()]


def test_three_shards_at_once_one_killed_give_the_files_of_a_single_run(tmp_path, videos):
    same_with_three_shards_one_killed(tmp_path, videos, TINY, ("--set", "pause=0.1"))


def test_real_videos_and_kitchen_films_by_three_shards_one_killed(tmp_path, shared):
    real = [path for path in sorted((shared / "data" / "video").iterdir()) if path.is_file()]
    listed = tmp_path / "list.csv"
    lines = [f"{path.stem},{path}" for path in [*real, *kitchen_films(12)]]
    listed.write_text("\n".join(["id,path", *lines]) + "\n")
    same_with_three_shards_one_killed(tmp_path, listed, COLORS)


def test_local_workers_give_the_files_of_a_single_run(tmp_path, videos):
    assert finished(start(*arguments(videos, tmp_path / "one")))[0] == 0
    code, said = finished(start(*arguments(videos, tmp_path / "three", "--workers", 3)))
    assert (code, extracted(said)) == (0, 12), said
    assert contents(tmp_path / "one") == contents(tmp_path / "three")
    code, said = finished(start(*arguments(videos, tmp_path / "three", "--workers", 3, "--set", "scale=2.0")))
    assert code == 2
    assert said.startswith("leaplan: ")
    assert "encoder.scale: 1.0 there, 2.0 asked for" in said


def test_a_worker_that_is_killed_is_told_and_its_share_done_next_time(tmp_path, videos):
    marks = ("--set", "die_after=2", "--set", f"marks={tmp_path}", "--set", "pause=0.02")
    words = arguments(videos, tmp_path / "features", "--workers", 2, *marks)
    code, said = finished(start(*words))
    assert code == 1
    assert "a worker was killed by signal 9" in said
    code, again = finished(start(*words))
    assert code == 0
    assert extracted(said) + extracted(again) == 12


@pytest.mark.parametrize(("workers", "number"), [(1, signal.SIGTERM), (2, signal.SIGINT)])
def test_a_signal_keeps_what_is_finished_and_the_same_command_continues(tmp_path, videos, workers, number):
    words = arguments(videos, tmp_path / "features", "--workers", workers, "--set", "pause=0.1")
    process = start(*words)
    wait_for(lambda: list((tmp_path / "features" / "provenance").glob("*.json")))
    process.send_signal(number)
    code, said = finished(process, timeout=30)
    assert code == 130
    assert "what is finished is kept" in said
    assert "the same command" in said
    assert "Traceback" not in said
    there = len(list((tmp_path / "features" / "provenance").glob("*.json")))
    assert 0 < there < 12
    code, said = finished(start(*words))
    assert (code, extracted(said)) == (0, 12 - there), said


def test_ray_and_local_workers_give_the_same_files(tmp_path, videos):
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'leaplan[ray]'")
    assert finished(start(*arguments(videos, tmp_path / "local", "--workers", 2)))[0] == 0
    code, said = finished(start(*arguments(videos, tmp_path / "ray", "--launcher", "ray", "--workers", 2)), 200)
    assert (code, extracted(said)) == (0, 12), said
    assert contents(tmp_path / "local") == contents(tmp_path / "ray")


def test_check_data_accepts_what_was_extracted_and_it_is_what_the_kitchen_stores(tmp_path):
    films = kitchen_films(6)
    out = tmp_path / "features"
    code, said = finished(start(*arguments(films[0].parent / "P01_?.mp4", out, "--workers", 2, encoder=COLORS)))
    assert code == 0, said
    extracted_here = sorted(path.stem for path in out.glob("*.npy"))
    report = check("synthetic", films[0].parents[2], features=out)
    assert all("have no features" in finding.what for finding in report.findings if finding.level == "error")
    for name in extracted_here:
        stored, ours = np.load(films[0].parents[1] / "features" / f"{name}.npy"), np.load(out / f"{name}.npy")
        assert len(stored) - len(ours) in (0, 1)
        assert np.allclose(stored[: len(ours) - 1], ours[:-1], atol=1e-5)  # the last second may be one in part


def test_a_film_of_ten_minutes_takes_no_more_memory_than_one_of_two(tmp_path):
    peaks = [peak_of_extraction(tmp_path, seconds) for seconds in (120, 600)]
    print(f"peaks of 2 and 10 minutes: {peaks} MB")
    assert peaks[1] - peaks[0] < 100  # frames of the difference are 550 MB, its clips 2300 MB


def peak_of_extraction(folder, seconds):
    """Make a film of so many seconds and return the MB that a process needs at most to see 32 frames of each second."""
    path, frame = folder / f"{seconds}.mp4", av.VideoFrame(320, 240, "yuv420p")
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=5, options={"preset": "ultrafast", "g": "50"})
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(5 * seconds):
            for plane in frame.planes:
                plane.update(bytes([number % 200]) * plane.buffer_size)
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    clips = ("--set", "frames=32", "--set", "rate=10.0", "--set", "size=224", "--set", "short_side=256")
    program = (
        "import sys; from leaplan.extract_features import main; from leaplan.measuring import peak_memory_mb; "
        "main(sys.argv[1:]); print(peak_memory_mb(), file=sys.stderr)"
    )
    words = [sys.executable, "-c", program, *arguments(path, folder / "features", *clips)]
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY / 'src'}:{REPOSITORY}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    assert np.load(folder / "features" / f"{seconds}.npy").shape == (seconds, 30)
    return float(done.stderr.split()[-1])
