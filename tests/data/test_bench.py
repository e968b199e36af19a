"""What clips cost with and without a cache: every figure there. Times are no test's business."""

import json

from leaplan.data import bench
from leaplan.video.bench import Film


def test_every_film_is_told_with_and_without_the_cache(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench, "FILMS", (Film("small", 160, 96, 8, 3.0),))
    file = tmp_path / "bench.json"
    assert bench.main(["clips", "--frames", "4", "--size", "48", "--seconds", "0.05", "--json", str(file)]) == 0
    (row,) = json.loads(file.read_text())["films"]
    assert all(row[f"{name}_clips_per_second"] > 0 for name in ("decoded", "first", "cached"))
    assert 0 < row["disk_mb_per_clip"] < 0.2  # 8 frames of 55 x 92
    assert "small" in capsys.readouterr().out
