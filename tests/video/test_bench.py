"""What reading clips costs: every figure there, and no frame decoded beyond its group of pictures."""

import torch

from leaplan.video.bench import Film, decode_bench

REORDERED = 3  # frames that x264 holds back at most


def test_no_frame_is_decoded_beyond_the_group_of_a_wanted_one():
    threads = torch.get_num_threads()
    films = Film("short groups", 160, 96, 8, 3.0), Film("long groups", 160, 96, 45, 3.0)
    short, long = decode_bench(0.05, films, size=(72, 96))
    for row in (short, long):
        assert row["clips"] > 0
        assert row["frames_used"] <= row["frames_decoded"] <= row["frames_in_reach"] + REORDERED * row["clips"]
        assert row["clips_per_second"] * (row["decode_seconds"] + row["transform_seconds"]) > 0.99
    assert short["frames_decoded"] / short["clips"] < long["frames_decoded"] / long["clips"]
    assert torch.get_num_threads() == threads
