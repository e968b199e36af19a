"""Extraction as a whole: whatever happens meanwhile, each video is done once, and the arrays are the same."""

import json
import os
import subprocess
import time

import av
import numpy as np
import pytest
import torch
from PIL import Image

from leaplan import extract_features
from leaplan.errors import ConfigError, UserError
from leaplan.video.extraction.bench import extract_bench
from leaplan.video.extraction.decoding import Reading
from leaplan.video.extraction.folder import FeatureFolder
from leaplan.video.extraction.manifest import read_manifest
from leaplan.video.extraction.outcomes import Outcome
from leaplan.video.extraction.progress import Progress
from leaplan.video.extraction.worker import extract, settings_of
from tests.video.extraction_runs import H264, arguments, contents, extracted
from tests.video.made_videos import make_audio_only, make_video, picture
from tests.video.tiny_encoder import TinyEncoder, numbers_in


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Return a folder of six short videos."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(6):
        make_video(folder / f"v{number}.mp4", options=H264, frames=30 + 20 * number)
    return folder


@pytest.fixture
def run(tmp_path, videos, capsys):
    """Return a function that runs the verb in this process: its exit code and what it says."""

    def started(*more, source=videos, out=tmp_path / "features"):
        code = extract_features.main(arguments(source, out, *more))
        told = capsys.readouterr()
        return code, told.out + told.err

    return started


def test_an_array_per_video_with_a_row_per_second(run, tmp_path):
    code, said = run()
    assert code == 0
    assert "6 videos extracted, 0 were there, 0 broken" in said
    arrays = {path.stem: np.load(path) for path in (tmp_path / "features").glob("*.npy")}
    assert {name: array.shape for name, array in arrays.items()} == {
        "v0": (2, 30), "v1": (2, 30), "v2": (3, 30), "v3": (4, 30), "v4": (5, 30), "v5": (6, 30)
    }  # fmt: skip
    assert arrays["v5"].dtype == np.float32
    shown = [numbers_in(row)[0] for row in arrays["v5"]]
    assert shown == [12, 37, 62, 87, 112, 129]  # the last one is the border frame: second 5 lasts to 5.2 s only
    about = json.loads((tmp_path / "features" / "features.json").read_text())
    assert about["settings"]["encoder"]["name"] == "tiny"


def test_what_is_done_is_not_done_again(run, tmp_path):
    run()
    before = contents(tmp_path / "features")
    code, said = run()
    assert (code, extracted(said)) == (0, 0)
    assert "6 were there" in said
    assert contents(tmp_path / "features") == before


def test_shards_together_are_a_single_run(run, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run(out=whole)
    done = [extracted(run("--shard", f"{index}/3", out=parts)[1]) for index in range(3)]
    assert sum(done) == 6
    assert contents(parts) == contents(whole)


def test_decoding_several_videos_at_once_changes_nothing(run, tmp_path):
    run("--set", "frames=8", out=tmp_path / "one")
    run("--set", "frames=8", "--decoders", 4, out=tmp_path / "four")
    assert contents(tmp_path / "one") == contents(tmp_path / "four")


def test_broken_videos_are_set_aside_and_the_others_done(run, tmp_path, videos):
    source = tmp_path / "mixed"
    source.mkdir()
    (source / "good.mp4").write_bytes((videos / "v1.mp4").read_bytes())
    (source / "text.mp4").write_text("404 Not Found\n" * 100)
    (source / "empty.mp4").touch()
    make_audio_only(source / "sound.mp4")
    whole = make_video(tmp_path / "whole.mp4", options=H264, frames=150, faststart=True).read_bytes()
    (source / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    code, said = run(source=source)
    assert code == 1
    assert "1 videos extracted, 0 were there, 4 broken" in said
    assert sorted(path.stem for path in (tmp_path / "features" / "broken").iterdir()) == [
        "cut",
        "empty",
        "sound",
        "text",
    ]
    assert "has no video stream, only audio" in said
    code, said = run(source=source)  # they are not tried again, and not forgotten
    assert code == 1
    assert "0 videos extracted, 1 were there, 4 broken" in said
    (source / "cut.mp4").write_bytes(whole)
    (source / "text.mp4").write_bytes(whole)
    code, said = run(source=source)  # two were downloaded again
    assert "2 videos extracted, 1 were there, 2 broken" in said


@pytest.mark.parametrize(("scale", "dtype", "hint"), [("1.0e+38", "float32", ""), ("1000.0", "float16", "; --dtype")])
def test_features_that_are_no_numbers_are_not_written(run, tmp_path, scale, dtype, hint):
    code, said = run("--set", f"scale={scale}", "--dtype", dtype)
    assert (code, "6 broken" in said) == (1, True)
    assert f"the features of second 0 are NaN or infinite{hint}" in said
    assert not list((tmp_path / "features").glob("*.npy"))


def test_a_retry_heals_what_was_broken_by_chance(run, tmp_path, videos):
    run("--shard", "0/1")
    folder = FeatureFolder(tmp_path / "features", {})
    video = read_manifest([str(videos)])[0]
    folder.array(video.id).unlink()
    folder.quarantine(video, "timed out")
    assert run()[0] == 1
    code, said = run("--retry-broken")
    assert (code, extracted(said)) == (0, 1)


def test_other_settings_are_refused_or_replace_all(run, tmp_path):
    run()
    with pytest.raises(ConfigError, match=r"encoder\.scale: 1\.0 there, 2\.0 asked for"):
        run("--set", "scale=2.0")
    with pytest.raises(ConfigError, match="dtype: float32 there, float16 asked for"):
        run("--dtype", "float16")
    before = np.load(tmp_path / "features" / "v0.npy")
    code, said = run("--set", "scale=2.0", "--overwrite")
    assert (code, extracted(said)) == (0, 6)
    assert np.array_equal(np.load(tmp_path / "features" / "v0.npy"), 2 * before)


@pytest.mark.parametrize("decoders", [1, 3])
def test_an_interruption_keeps_what_is_finished(tmp_path, videos, decoders):
    encoder, files = TinyEncoder(), read_manifest([str(videos)])
    folder = FeatureFolder(tmp_path, settings_of(encoder, "float32", "auto"))
    folder.open(files, overwrite=False)
    finished = []

    def interrupt(outcome):
        finished.append(outcome.id)
        if len(finished) == 3:
            raise KeyboardInterrupt

    reading = Reading(threads=decoders)
    with pytest.raises(KeyboardInterrupt):
        extract(files, folder, encoder, "float32", reading, interrupt)
    assert {path.stem for path in tmp_path.glob("*.npy")} == set(finished)
    assert not list(tmp_path.rglob("*.partial"))
    rest = [video for video in files if folder.state(video) == "wanted"]
    assert extract(rest, folder, encoder, "float32", reading).extracted == 3


def test_a_fault_of_the_encoder_is_no_fault_of_the_videos(tmp_path, videos):
    class OutOfMemory(TinyEncoder):
        def encode(self, clips):
            raise torch.OutOfMemoryError("no room")

    encoder, files = OutOfMemory(), read_manifest([str(videos)])
    folder = FeatureFolder(tmp_path, settings_of(encoder, "float32", "auto"))
    with pytest.raises(ConfigError, match="do not fit the memory"):
        extract(files, folder, encoder, "float32", Reading())
    assert not (tmp_path / "broken").exists()


def test_pictures_without_a_rate_and_unknown_encoders_are_refused(run, tmp_path):
    with pytest.raises(UserError, match="no videos in"):
        run(source=tmp_path)
    with pytest.raises(ConfigError, match="there is no encoder 's4d'"):
        run("--encoder", "s4d")
    with pytest.raises(ConfigError, match="takes no colour"):
        run("--set", "colour=red")


def test_a_dry_run_lists_the_shard_and_writes_nothing(run, tmp_path):
    listed = [line.split()[0] for i in range(2) for line in run("--dry-run", "--shard", f"{i}/2")[1].splitlines()]
    assert sorted(listed) == [f"v{number}" for number in range(6)]
    assert not (tmp_path / "features").exists()


def test_folders_of_pictures_are_extracted_by_epics_rule(run, tmp_path):
    folder = tmp_path / "pictures" / "P01_01"
    folder.mkdir(parents=True)
    for number in range(1, 26):
        Image.fromarray(picture(number)).save(folder / f"frame_{number:010d}.png")
    code, said = run("--frame-rate", 10, "--set", "frames=3", source=tmp_path / "pictures")
    assert (code, extracted(said)) == (0, 1), said
    rows = np.load(tmp_path / "features" / "P01_01.npy")
    assert [numbers_in(row) for row in rows] == [[4, 5, 6], [14, 15, 16], [24, 25, 25]]


def test_the_time_left_is_told_in_plain_lines(capsys, monkeypatch):
    monkeypatch.setattr("leaplan.video.extraction.progress.SECONDS", 0.0)
    with Progress() as progress:
        progress.expect(4, 4000)
        time.sleep(0.05)
        progress.add(Outcome("a", seconds=360.0, size=1000))
        progress.add(Outcome("b", "b.mp4 is empty (0 bytes)", size=1000))
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("1 of 4 videos, 0.10 h of video, about 0 s left")
    assert told[1:] == ["broken: b.mp4 is empty (0 bytes)", told[2]]
    assert told[2].startswith("2 of 4 videos, 0.10 h of video, 1 broken, about")


def test_a_slurm_task_takes_its_shard_and_is_queued_again_when_its_time_is_up(tmp_path, repository):
    for name, script in (("leaplan", 'echo "$@"; exec sleep "$NAP"'), ("scontrol", 'echo "scontrol $@"')):
        (tmp_path / name).write_text(f"#!/bin/bash\n{script}\n")
        (tmp_path / name).chmod(0o755)
    task = {"SLURM_ARRAY_JOB_ID": "77", "SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "5"}
    paths = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LEAPLAN": str(tmp_path / "leaplan")}
    command = ["bash", repository / "docker" / "slurm" / "extract.sbatch", "--videos", "my videos"]
    told = subprocess.run(command, env={**task, **paths, "NAP": "0"}, capture_output=True, text=True, timeout=20)
    assert (told.returncode, told.stdout) == (0, "extract-features --videos my videos --shard 2/5\n")
    job = subprocess.Popen(command, env={**task, **paths, "NAP": "20"}, stdout=subprocess.PIPE, text=True)
    assert job.stdout.readline().startswith("extract-features")
    job.terminate()
    assert job.communicate(timeout=10)[0] == "scontrol requeue 77_2\n"
    assert job.returncode == 0


def test_the_bench_tells_which_part_bounds(videos):
    slow = extract_bench(TinyEncoder(pause=0.03), sorted(videos.glob("*.mp4")), Reading(batch=4, threads=1))
    assert slow.encoding > slow.decoding
    assert slow.encoding > 0.8 * slow.wall
    assert slow.rows == 22
    assert slow.hours_per_hour == pytest.approx(slow.video_seconds / slow.wall)


def test_real_gifs_and_clips_give_rows_of_the_frames_shown(run, tmp_path, shared):
    code, said = run("--set", "frames=3", source=shared / "data" / "video")
    assert (code, extracted(said)) == (0, 5)
    encoder = TinyEncoder(frames=3)
    for video in read_manifest([str(shared / "data" / "video")]):
        times, frames = decoded(video.path)
        rows = np.load(tmp_path / "features" / f"{video.id}.npy")
        assert abs(len(rows) - times[-1]) < 1.2
        looks = np.arange(len(rows))[:, None] + np.array([0.4, 0.5, 0.6])
        shown = np.searchsorted(times, np.minimum(looks, times[-1]) + 1e-6, side="right") - 1
        expected = encoder.encode(frames[torch.from_numpy(shown)])
        assert np.allclose(rows, expected.numpy(), atol=1e-3), video.id


def decoded(path):
    """Decode a whole file in order: times (n,) and frames (n, 3, H, W)."""
    with av.open(str(path)) as container:
        shown = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    times = np.array([time for time, _ in shown])
    return times - times[0], torch.from_numpy(np.stack([frame for _, frame in shown])).permute(0, 3, 1, 2)
