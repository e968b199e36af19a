"""The benchmark counts what it says and tells the right bound. Its times are no test's business."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from leaplan.bench import main
from leaplan.errors import ConfigError
from leaplan.recognition import bench
from leaplan.recognition import bench_network as network
from leaplan.recognition.bench_bound import Bound
from leaplan.recognition.bench_figures import OFFICIAL
from leaplan.recognition.bench_network import Work
from leaplan.recognition.layout import shapes_only

H100 = "NVIDIA H100 80GB HBM3"
TINY = Work("tiny", "ssv2", 4, batch=2)


@pytest.mark.parametrize(("kind", "blocks", "frames"), [("kinetics", 4, 8), ("ssv2", 8, 4)])
def test_we_need_the_official_products_less_the_projections_of_keys_and_values(kind, blocks, frames):
    official, work = OFFICIAL["b16", kind], Work("b16", kind, 8)
    saved = blocks * 2 * frames * 197 * 768**2 / 1e9  # tokens that are never projected
    assert network.gmacs(work) == pytest.approx(official.gmacs - saved, abs=0.15)
    assert network.parameters(work) == official.parameters


def test_products_grow_with_frames_and_not_with_what_is_computed_again():
    eight, sixteen = (network.gmacs(replace(TINY, frames=frames)) for frames in (8, 16))
    assert sixteen == pytest.approx(2 * eight, rel=0.05)
    assert network.gmacs(replace(TINY, frames=8, checkpointing=True)) == eight


@pytest.mark.parametrize("kind", ["kinetics", "ssv2"])
def test_a_training_step_is_three_forward_passes(kind):
    work = Work("tiny", kind, 8)
    with shapes_only():
        model, clip = network.Classifier(work), torch.empty(1, 3, 8, *network.RESOLUTION["tiny"])
    counter = FlopCounterMode(display=False)
    with sdpa_kernel(SDPBackend.MATH), counter:
        model(clip).sum().backward()
    counted = {str(operator): flops for operator, flops in counter.get_flop_counts()["Global"].items()}
    del counted["aten.convolution_backward"]  # of grouped convolutions it is counted as of dense ones
    truth = sum(counted.values()) + 2 * counted["aten.convolution"]
    assert network.training_flops(network.gmacs(work)) == pytest.approx(truth, rel=0.04)  # pixels need no gradient


@pytest.mark.parametrize(
    "work",
    [
        replace(TINY, does="forward"),
        replace(TINY, does="backward", checkpointing=True),
        replace(TINY, kind="kinetics", precision="bf16", checkpointing=True),
    ],
    ids=["forward", "backward", "step"],
)
def test_all_work_costs_time_and_memory(work):
    assert np.concatenate([np.atleast_1d(figure) for figure in network.cost(work, repeats=1).values()]).min() > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["kinetics", "ssv2"])
def test_a_step_can_be_compiled_with_checkpoints_in_it(kind, monkeypatch):
    whole = partial(torch.compile, backend="aot_eager", fullgraph=True)  # all but the generated code
    monkeypatch.setattr(torch, "compile", whole)
    work = Work("tiny", kind, 4, precision="bf16", compiled=True, checkpointing=True)
    assert min(network.cost(work, repeats=1)["wall_s"]) > 0


def test_what_a_gpu_cannot_do_is_told_instead_of_a_traceback(monkeypatch):
    def fail(work, repeats):
        raise error

    monkeypatch.setattr(network, "cost", fail)
    error = torch.OutOfMemoryError("CUDA out of memory")
    assert network._cost_or_reason(TINY, 1) == {"reason": "2 clips do not fit into the GPU's memory"}
    error = RuntimeError("no C++ compiler\nand more")
    reason = network._cost_or_reason(replace(TINY, compiled=True), 1)["reason"]
    assert reason == "torch.compile failed (RuntimeError: no C++ compiler)"
    with pytest.raises(RuntimeError):
        network._cost_or_reason(TINY, 1)


# --- Share of a card's peak


@pytest.mark.parametrize(
    ("card", "peak"),
    [
        (H100, 989.4),
        ("NVIDIA H100 PCIe", 756.5),
        ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA H200", 989.4),
        ("NVIDIA H200 NVL", 835.5),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA A100 80GB PCIe", 312.0),
        ("NVIDIA L40S", 362.1),
        ("NVIDIA L4", 121.0),
        ("NVIDIA A10", 125.0),
        ("NVIDIA A10G", None),
        ("NVIDIA H100 80GB HBM3 MIG 3g.40gb", None),
        ("Tesla V100-SXM2-16GB", None),
    ],
)
def test_a_peak_is_that_of_the_very_card(card, peak):
    assert network.peak_tflops(card) == peak


def test_utilisation_is_needed_operations_over_possible_ones():
    work = replace(TINY, device="cuda", precision="bf16")
    share, _ = network.utilisation(work, clips_per_second=494.7, gmacs=100.0, card=H100)
    assert share == pytest.approx(494.7 * 6 * 100e9 / 989.4e12)  # 0.3: two operations a product, three passes


@pytest.mark.parametrize(
    ("change", "card", "reason"),
    [
        ({"device": "cpu", "precision": "bf16"}, "", "CPU"),
        ({"device": "cuda", "precision": "fp32"}, H100, "bf16"),
        ({"device": "cuda", "precision": "bf16"}, "NVIDIA Z9", "'NVIDIA Z9' is not in our table"),
    ],
)
def test_utilisation_is_left_out_with_a_reason(change, card, reason):
    share, told = network.utilisation(replace(TINY, **change), 1.0, 1.0, card)
    assert share is None
    assert reason in told


# --- What bounds


def test_the_slower_of_model_and_decoding_bounds():
    def bound(model, core, workers):
        return Bound(model, core, workers)

    assert bound(0.4, 25.0, 1).by == "model"
    assert bound(0.4, 25.0, 1).sentence == (
        "the model bounds: 0.4 clips/s against 25 clips/s decoded by one core; "
        "one core of decoding feeds 62 such models"
    )
    assert bound(100.0, 25.0, 8).sentence.endswith("200 clips/s decoded by 8 cores; it needs 4 cores of decoding")
    assert bound(1000.0, 25.0, 8).sentence == (
        "decoding bounds: 200 clips/s decoded by 8 cores against 1e+03 of the model; it needs 40 cores of decoding"
    )


# --- The verb


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no CUDA device; leave --device out"):
        main(["recogniser", "--device", "cuda"])


def test_options_of_steps_need_a_device():
    with pytest.raises(ConfigError, match="--compile and --checkpointing without a device"):
        main(["recogniser", "--compile", "--checkpointing"])


def test_on_a_gpu_8_and_16_frames_are_told_with_their_share_of_its_peak(monkeypatch, tmp_path, capsys):
    def measured(work, repeats):
        assert (work.does, work.precision, work.compiled, work.batch) == ("step", "bf16", True, 32)
        if work.frames == 16 and work.kind == "ssv2":
            return {"reason": "32 clips do not fit into the GPU's memory"}
        return {"cpu_s": (0.001,), "wall_s": (0.01,), "first_wall_s": 9.0, "peak_memory_mb": 5000.0}

    monkeypatch.setattr(bench, "cost_alone", measured)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_: H100)
    options = ["--device", "cuda", "--batch", "32", "--compile", "--no-data"]
    assert main(["recogniser", *options, "--json", str(tmp_path / "bench.json")]) == 0
    told = json.loads((tmp_path / "bench.json").read_text())
    assert (told["environment"]["device"], told["environment"]["precision"]) == (H100, "bf16")
    rows = {row["name"]: row["value"] for row in told["figures"]}
    assert [name for name in rows if name.endswith("training")] == [
        f"{name} frames: training" for name in ("kinetics, 8", "kinetics, 16", "ssv2, 8")
    ]
    operations = rows["kinetics, 8 frames: operations of a training step"]
    assert rows["kinetics, 8 frames: MFU"] == pytest.approx(100 * 100 * operations * 1e9 / 989.4e12)
    assert rows["kinetics, 8 frames: training"] == pytest.approx(100)
    printed = capsys.readouterr().out
    assert "MFU" in printed
    assert "ssv2, 16 frames: 32 clips do not fit" in printed


@pytest.mark.slow
def test_the_verb_prints_tables_and_the_bound_and_writes_the_figures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "DATA_SECONDS", 0.2)
    assert main(["recogniser", "--repeats", "1", "--workers", "2", "--json", str(tmp_path / "bench.json")]) == 0
    written = json.loads((tmp_path / "bench.json").read_text())
    figures = {row["name"]: row["value"] for row in written["figures"]}
    for kind in ("kinetics", "ssv2"):
        assert figures[f"{kind}, 8 frames: parameters"] > 5e5
        both = figures[f"{kind}, 8 frames: forward and backward"]
        assert both > figures[f"{kind}, 8 frames: forward"] > 0
    used = [name for name in figures if name.endswith("frames used")]
    assert len(used) == 2
    assert all(figures[name] <= figures[name.replace("used", "decoded")] for name in used)
    assert len(written["bounds"]) == 4
    printed = capsys.readouterr().out
    assert "GMAC" in printed
    assert printed.count("bounds: ") == 4
