"""What UniFormerV2 costs: products and parameters, counted; seconds and memory, measured on a CPU or a GPU alike."""

import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from leaplan.errors import ConfigError
from leaplan.measuring import peak_memory_mb
from leaplan.recognition.encoder import UniFormerV2Encoder
from leaplan.recognition.layout import shapes_only
from leaplan.recognition.uniformerv2 import SIZES, ClassHead
from leaplan.training.optim import adamw

RESOLUTION = {"tiny": (72, 96), "b16": (224, 224), "l14": (224, 224)}
CLASSES = {"kinetics": 400, "ssv2": 174}
WARM_UP = {"cpu": 1, "cuda": 3}  # passes that do not count: memory is allocated and kernels are chosen in them
BACKWARD = 3  # products of forward and backward, of those of forward alone

# Dense bfloat16 TFLOP/s in NVIDIA's data sheets of the cards, half of what those print "with sparsity".
# The first name whose words are all in what the driver calls the card; None for kin of another speed.
PEAKS: tuple[tuple[str, float | None], ...] = (
    ("MIG", None),  # a slice of a card
    ("H200 NVL", 835.5),
    ("H200", 989.4),
    ("GH200", 989.4),
    ("H100 NVL", 835.5),
    ("H100 PCIe", 756.5),
    ("H100 HBM3", 989.4),
    ("A100-SXM4-40GB", 312.0),
    ("A100-SXM4-80GB", 312.0),
    ("A100-PCIE-40GB", 312.0),
    ("A100 PCIe", 312.0),
    ("L40S", 362.1),
    ("L40", 181.1),
    ("L4", 121.0),
    ("A40", 149.7),
    ("A30", 165.0),
    ("A10", 125.0),
)


@dataclass(frozen=True, slots=True)
class Work:
    """A network and what is done with it.

    Args:
        size, kind, frames: Of the network.
        batch: Clips at a time.
        does: "forward"; "backward", a forward and a backward pass; or "step", these and a step of AdamW.
        device: "cpu" or "cuda".
        precision: "fp32", or "bf16" for autocast.
        compiled: By `torch.compile`.
        checkpointing: Of all layers.
        threads: CPU threads of torch.
    """

    size: Literal["tiny", "b16", "l14"]
    kind: Literal["kinetics", "ssv2"]
    frames: int
    batch: int = 1
    does: Literal["forward", "backward", "step"] = "step"
    device: str = "cpu"
    precision: str = "fp32"
    compiled: bool = False
    checkpointing: bool = False
    threads: int = 1


class Classifier(nn.Module):
    """UniFormerV2 and the official head, at random.

    Args:
        work: Its size, kind and frames, and whether layers are checkpointed.
    """

    def __init__(self, work: Work) -> None:
        super().__init__()
        depth = SIZES[work.size].depth if work.checkpointing else 0
        self.encoder = UniFormerV2Encoder(work.size, work.kind, work.frames, RESOLUTION[work.size], checkpointing=depth)
        self.head = ClassHead(self.encoder.width, CLASSES[work.kind])

    def forward(self, clips: Tensor) -> Tensor:
        """Return logits (N, classes) of clips (N, 3, T, H, W), uint8."""
        return self.head(self.encoder(clips).pooled)


def parameters(work: Work) -> int:
    """Return the number of parameters, head included."""
    with shapes_only():
        return sum(each.numel() for each in Classifier(work).parameters())


def gmacs(work: Work) -> float:
    """Return 10^9 multiply-accumulations of the forward pass of one clip, counted on the meta device."""
    with shapes_only():
        network = Classifier(work).eval().requires_grad_(False)
        clip = torch.empty(1, 3, work.frames, *RESOLUTION[work.size])
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:  # the fused kernel of the CPU is not counted
        network(clip)
    return counter.get_total_flops() / 2e9


def refuse_absent(device: str) -> None:
    """Check that there is such a device.

    Raises:
        ConfigError: There is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("no CUDA device; leave --device out", "Speed on this machine's CPU is measured without it")


def cost_alone(work: Work, repeats: int) -> dict[str, Any]:
    """Return `cost` as measured in a new process, whose peak memory is that of this work alone.

    Returns:
        As `cost`; or only a `reason` where the memory of a GPU or `torch.compile` does not do it.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(_cost_or_reason, work, repeats).result()


def _cost_or_reason(work: Work, repeats: int) -> dict[str, Any]:
    try:
        return dict(cost(work, repeats))
    except torch.OutOfMemoryError:
        return {"reason": f"{work.batch} clips do not fit into the GPU's memory"}
    except Exception as error:  # whatever a compiler raises; many of its errors cannot be sent to another process
        if not work.compiled:
            raise
        first = next(iter(str(error).splitlines()), "")
        return {"reason": f"torch.compile failed ({type(error).__name__}: {first})"}


def cost(work: Work, repeats: int) -> dict[str, Any]:
    """Return what work costs on random clips that are already on the device.

    Returns:
        `cpu_s` and `wall_s` of a clip, in each of `repeats` passes; `first_wall_s` of the first pass, in which
        `torch.compile` compiles; `peak_memory_mb` in MiB: what tensors took of a GPU, else the resident memory of
        this process.
    """
    torch.set_num_threads(work.threads)
    torch.manual_seed(7)
    once = _pass(work)
    seconds = [_seconds(once, work.device) for _ in range(WARM_UP[work.device] + repeats)]
    cpu, wall = (tuple(each / work.batch for each in clock) for clock in zip(*seconds[-repeats:], strict=True))
    peak = torch.cuda.max_memory_allocated() / 2**20 if work.device == "cuda" else peak_memory_mb()
    return {"cpu_s": cpu, "wall_s": wall, "first_wall_s": seconds[0][1], "peak_memory_mb": round(peak, 1)}


def _pass(work: Work) -> Callable[[], None]:
    training = work.does != "forward"
    network = Classifier(work).train(training).to(work.device)
    run = torch.compile(network) if work.compiled else network
    optimizer = adamw([network], 1e-5, 0.05) if work.does == "step" else None
    shape = (work.batch, 3, work.frames, *RESOLUTION[work.size])
    clips = torch.randint(0, 256, shape, dtype=torch.uint8, device=work.device)
    labels = torch.randint(0, CLASSES[work.kind], (work.batch,), device=work.device)

    def once() -> None:
        network.zero_grad()
        with (
            torch.set_grad_enabled(training),
            torch.autocast(work.device, torch.bfloat16, enabled=work.precision == "bf16"),
        ):
            logits = run(clips)
        if training:
            functional.cross_entropy(logits.float(), labels).backward()
        if optimizer is not None:
            optimizer.step()

    return once


def _seconds(work: Callable[[], None], device: str) -> tuple[float, float]:
    """Return CPU and wall seconds of `work`, the GPU's work included in the latter."""
    _wait_for(device)
    began, began_wall = time.process_time(), time.perf_counter()
    work()
    _wait_for(device)
    return time.process_time() - began, time.perf_counter() - began_wall


def _wait_for(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def training_flops(gmacs: float) -> float:
    """Return floating-point operations of a training step on one clip: three times those of its forward pass.

    What checkpointing repeats does not count. (PyTorch's own counter takes the backward pass of convolutions per
    channel for that of dense ones, and would tell a quarter more.)
    """
    return BACKWARD * 2e9 * gmacs


def utilisation(work: Work, clips_per_second: float, gmacs: float, card: str) -> tuple[float | None, str]:
    """Return which share of the card's peak a training step uses (MFU), or None and the reason why it is not known.

    Args:
        work: What was measured.
        clips_per_second: Of the step.
        gmacs: Of the forward pass of a clip.
        card: Name of the GPU as its driver tells it.
    """
    if work.device != "cuda":
        return None, "there is no peak to compare a CPU with"
    if work.precision != "bf16":
        return None, "peaks are of bf16"
    peak = peak_tflops(card)
    if peak is None:
        return None, f"the bf16 peak of '{card}' is not in our table"
    return clips_per_second * training_flops(gmacs) / (peak * 1e12), ""


def peak_tflops(card: str) -> float | None:
    """Return the dense bfloat16 peak of a GPU by the name that its driver tells; None for unknown ones."""
    words = card.split()
    return next((peak for name, peak in PEAKS if all(word in words for word in name.split())), None)
