"""What clips cost with and without a cache: every figure there. Times are no test's business."""

import json

from leaplan.bench import main
from leaplan.data import bench
from leaplan.video.bench import Film


def test_every_film_is_told_with_and_without_the_cache(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench, "FILMS", (Film("small", 160, 96, 8, 3.0),))
    file = tmp_path / "bench.json"
    assert main(["decode", "--frames", "4", "--size", "48", "--seconds", "0.05", "--json", str(file)]) == 0
    rows = {row["name"].partition(": ")[2]: row["value"] for row in json.loads(file.read_text())["figures"]}
    assert all(rows[name] > 0 for name in ("opened, decoded and cropped", *bench.NAMES.values()))
    assert 0 < rows["cache on disk"] < 0.2  # 8 frames of 55 x 92
    assert "small" in capsys.readouterr().out
