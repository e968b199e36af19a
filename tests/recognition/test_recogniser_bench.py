"""The benchmark counts what it says. Its times are no test's business."""

import json

import pytest

from leaplan.recognition import bench


@pytest.mark.parametrize(("kind", "blocks", "frames"), [("kinetics", 4, 8), ("ssv2", 8, 4)])
def test_we_need_the_official_products_less_the_projections_of_keys_and_values(kind, blocks, frames):
    official = bench.OFFICIAL["b16", kind]
    saved = blocks * 2 * frames * 197 * 768**2 / 1e9  # tokens that are never projected
    assert bench.gmacs("b16", kind, 8) == pytest.approx(official.gmacs - saved, abs=0.15)
    assert bench.parameters("b16", kind, 8) == official.parameters


def test_products_grow_with_frames():
    assert bench.gmacs("tiny", "ssv2", 16) == pytest.approx(2 * bench.gmacs("tiny", "ssv2", 8), rel=0.05)


def test_a_pass_costs_time_and_memory():
    cost = bench.passes("tiny", "ssv2", 4, batch=2, repeats=1, threads=1, training=True)
    assert all(figure > 0 for figure in cost.values())


@pytest.mark.slow
def test_the_verb_prints_a_table_and_writes_the_figures(tmp_path, capsys):
    assert bench.main(["recogniser", "--repeats", "1", "--json", str(tmp_path / "bench.json")]) == 0
    figures = json.loads((tmp_path / "bench.json").read_text())
    for kind in ("kinetics", "ssv2"):
        assert figures[kind]["parameters"] > 5e5
        assert figures[kind]["training_cpu_s"] > figures[kind]["forward_cpu_s"] > 0
    assert "GMACs" in capsys.readouterr().out
