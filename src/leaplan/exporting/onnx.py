"""A recogniser or a closed-set planner as ONNX: any number of samples, checked on real ones.

Shapes: B samples; S observed seconds, D feature width, T steps, N step classes; F frames of H x W pixels.
"""

import logging
import warnings
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from leaplan.data.known import KnownProblem
from leaplan.errors import ConfigError, DataError
from leaplan.on_video.model import Model
from leaplan.planning.decoding import viterbi

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FILE = "model.onnx"
SAMPLES = 8  # real ones, on which outputs are compared
TOLERANCE = 1e-4  # of log-probabilities and logits
PROGRAM = ("program_verb", "program_first", "program_second", "program_before", "program_after")


def refuse_unfit(model: Model) -> None:
    """Check that a model can be written as ONNX, and that the libraries are there.

    Raises:
        ConfigError: It cannot, or an extra is not installed.
    """
    reader = getattr(model.network, "attend", None)
    if reader is not None and reader.language is not None:
        what = f"{model.name} plans with a language model, which writes token by token: that is no ONNX graph"
        raise ConfigError(what, "Export it without --onnx, or a planner without a language model")
    if getattr(model.network, "windows", 1) > 1:
        what = f"{model.name} anticipates from windows of which some may be missing: that is no ONNX graph"
        raise ConfigError(what, "Export it without --onnx, or a recogniser")
    if isinstance(model.run.data, KnownProblem):
        raise ConfigError("an exported model has no samples to check ONNX on", "Export from the run")
    absent = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if absent:
        raise ConfigError(f"--onnx needs {', '.join(absent)}, not installed here", "pip install 'leaplan[onnx]'")


def write_onnx(model: Model, path: Path) -> str:
    """Write `path`, compare it with the network on real test samples, and return a sentence about both.

    Raises:
        ConfigError: The network is no graph.
        DataError: Outputs differ.
    """
    network, inputs, outputs = _graph(model)
    try:
        _write(network, inputs, outputs, path)
        worst = max(_difference(network, path, {k: v[:n] for k, v in inputs.items()}) for n in (1, SAMPLES))
    except Exception as error:  # a network of one's own may do anything that no graph can
        what = f"{model.name} cannot be written as ONNX: {str(error).strip().splitlines()[0]}"
        raise ConfigError(what, "Export it without --onnx") from error
    shapes = ", ".join(f"{name} ({', '.join(map(str, ['B', *x.shape[1:]]))})" for name, x in inputs.items())
    count = len(next(iter(inputs.values())))
    told = f"{FILE}: {shapes} to {', '.join(outputs)}; largest difference on {count} test samples {worst:.1e}"
    if not worst <= TOLERANCE:
        raise DataError(f"{told}, above {TOLERANCE:g}", "Export without --onnx, and report this")
    return f"{told} (at most {TOLERANCE:g} is let through)"


def _write(network: nn.Module, inputs: dict[str, Tensor], outputs: list[str], path: Path) -> None:
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it tells which constants it leaves alone
    batch = torch.export.Dim("batch", min=1, max=4096)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(inputs.values()),
            str(path),
            dynamo=True,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            external_data=False,
            verbose=False,
        )


class ClosedSet(nn.Module):
    """What a closed-set planner computes: `forward(start, goal)`, each (B, S, D).

    Returns log-probabilities of steps (B, T, N) and the likeliest plan under the transitions (B, T).
    """

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.network, self.sharpen = module.network, module.sharpen
        self.register_buffer("y", module.y)
        self.register_buffer("log_transitions", module.log_transitions)

    def forward(self, start: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities and plans; the loop over steps is a graph, unlike that of `decoding.viterbi`."""
        sharp = self._sharp(start, goal)
        score, best = sharp[:, 0], []
        for step in range(1, sharp.shape[1]):
            score, before = (score[:, :, None] + self.log_transitions).max(1)  # (B, N), (B, N)
            score = score + sharp[:, step]
            best.append(before)
        plan = [score.argmax(-1, keepdim=True)]  # (B, 1)
        for before in reversed(best):
            plan.append(before.gather(1, plan[-1]))
        return sharp, torch.cat(plan[::-1], dim=1)

    def expected(self, start: Tensor, goal: Tensor) -> tuple[Tensor, ...]:
        """Return what leaplan's own decoder makes of it."""
        sharp = self._sharp(start, goal)
        return sharp, viterbi(sharp, self.log_transitions)[0]

    def _sharp(self, start: Tensor, goal: Tensor) -> Tensor:
        plain, _ = self.network.log_emissions(start, goal, self.y)
        return (self.sharpen * plain).log_softmax(-1)


class OneWindow(nn.Module):
    """What a recogniser computes of one window: `forward(clips)` of uint8 (B, 3, F, H, W), RGB.

    Returns logits (B, classes) of each kind there is, and of the programs' slots.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.backbone, self.classes, self.program = network.backbone, network.classes, network.program

    def forward(self, clips: Tensor) -> tuple[Tensor, ...]:
        """Return logits."""
        pooled, tokens = self.backbone(clips)
        program = () if self.program is None else self.program(tokens)
        return tuple(each for each in (*self.classes(pooled), *program) if each is not None)

    def expected(self, clips: Tensor) -> tuple[Tensor, ...]:
        """Return the same."""
        return self(clips)


def _graph(model: Model) -> tuple[ClosedSet | OneWindow, dict[str, Tensor], list[str]]:
    """Return what is exported, real samples for it, and names of its outputs."""
    data = model.run.data
    if model.task == "planning":
        windows = data.windows("test")
        given = {"start": windows.start[:SAMPLES], "goal": windows.goal[:SAMPLES]}
        return ClosedSet(model.run.module).cpu().eval(), given, ["log_probability", "plan"]
    clips = data.clips("test")
    shown = torch.stack([clips[at]["clips"][0, 0, 0] for at in range(min(SAMPLES, len(clips)))])  # (B, 3, F, H, W)
    heads = model.network.classes
    kinds = [kind for kind in ("verb", "noun", "action") if getattr(heads, kind) is not None]
    names = kinds + (list(PROGRAM) if model.network.program is not None else [])
    return OneWindow(model.network).cpu().eval(), {"clips": shown}, names


def _difference(network: ClosedSet | OneWindow, path: Path, inputs: dict[str, Tensor]) -> float:
    """Return the largest absolute difference between the network's outputs and those of the file."""
    session = import_module("onnxruntime").InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: list[NDArray[np.generic]] = session.run(None, {name: x.numpy() for name, x in inputs.items()})
    with torch.inference_mode():
        expected = network.expected(*inputs.values())
    pairs = zip(found, expected, strict=True)
    return max(float((torch.from_numpy(x).double() - y.double()).abs().max()) for x, y in pairs)
