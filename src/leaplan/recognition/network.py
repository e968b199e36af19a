"""The recogniser: clips in; verb, noun and action, and the program that each window shows, out (LEAP).

One window is the action itself, to be recognised; several are what comes before it, to anticipate from. Nothing but
the clips and a mask of what may be seen enters.
"""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn

from leaplan.errors import ConfigError
from leaplan.recognition.anticipation import CONTEXTS, WindowAggregator, summarise, summary_width
from leaplan.recognition.heads import ClassHeads, ClassLogits
from leaplan.recognition.program_head import ProgramHead
from leaplan.recognition.program_head import ProgramLogits as ProgramLogits
from leaplan.recognition.seen import Seen
from leaplan.records import ProgramClasses


class Backbone(Protocol):
    """What a recogniser looks with: an `nn.Module` such as `UniFormerV2Encoder` or `FeatureEncoder`.

    Before training `RecognitionModule` shows it training clips: `fit(features, mask)` of features; of frames
    `fit(clips)`, and only if its attribute `loaded`, the weights it began with, is None.
    """

    width: int

    def __call__(self, clips: Tensor) -> Seen:
        """Return the features of clips (N, ...)."""


class Recognition(NamedTuple):
    """Logits of N clips; None for what the network does not tell."""

    verb: Tensor | None  # (N, verbs)
    noun: Tensor | None  # (N, nouns)
    action: Tensor | None  # (N, actions)
    program: ProgramLogits | None


class WindowSeen(NamedTuple):
    """What is seen in W windows of N clips: all that classes are read from, and the programs."""

    pooled: Tensor  # (N, W, C)
    program: ProgramLogits | None
    summary: Tensor | None  # (N, W, F) of the programs, where classes are read from them as well

    def pack(self) -> Tensor:
        """Return (N, W, C + F), all that `Recogniser.classify` needs, to be kept and used again."""
        return self.pooled if self.summary is None else torch.cat([self.pooled, self.summary], dim=-1)


class Recogniser(nn.Module):
    """Recognises actions, or anticipates them, and tells their programs.

    Shapes: N clips, W windows, C width of the backbone; K slots, P conditions, Cv verbs and Co objects of programs.

    Args:
        backbone: Gives features of single windows.
        verbs, nouns, actions: Numbers of classes; 0 leaves a kind out.
        programs: Classes of the programs that supervise; None leaves the program head out.
        windows: W. With one, classes are read from the backbone's features; with more, from all windows together.
        context: Of several windows, what classes are read from: "features", "programs" or "both" (features and,
            where there are programs, those).
        dropout: Before the classifiers.
        tail: Last slots of a program that are told apart in its summary.
        program_width, program_layers, program_heads, program_dropout: Of the `ProgramHead`.
        window_layers, window_heads, window_dropout: Of the `WindowAggregator`.

    Raises:
        ConfigError: Classes are to be read from programs, but there are none, or there is no such context.
    """

    def __init__(
        self,
        backbone: Backbone,
        verbs: int,
        nouns: int,
        actions: int,
        programs: ProgramClasses | None = None,
        windows: int = 1,
        context: str = "both",
        dropout: float = 0.5,
        tail: int = 2,
        program_width: int = 256,
        program_layers: int = 2,
        program_heads: int = 4,
        program_dropout: float = 0.1,
        window_layers: int = 2,
        window_heads: int = 8,
        window_dropout: float = 0.1,
    ) -> None:
        super().__init__()
        _check_context(context, windows, programs)
        self.backbone, self.windows, self.tail = backbone, windows, tail
        width = backbone.width
        self.program: ProgramHead | None = None
        summary = 0
        if programs is not None:
            sizes = len(programs.verbs), len(programs.objects), len(programs.conditions)
            self.program = ProgramHead(
                width, programs.slots, *sizes, program_width, program_layers, program_heads, program_dropout
            )
            summary = summary_width(*sizes, tail)
        self.aggregate: WindowAggregator | None = None
        if windows > 1:
            self.aggregate = WindowAggregator(
                width, windows, summary, context, window_layers, window_heads, window_dropout
            )
        self.classes = ClassHeads(width, verbs, nouns, actions, dropout)

    def forward(self, clips: Tensor, window_mask: Tensor) -> Recognition:
        """Return logits of `clips` (N, W, ...), of which only windows in `window_mask` (N, W) are looked at."""
        seen = self.encode(clips, window_mask)
        return Recognition(*self.classify(seen, window_mask), seen.program)

    def encode(self, clips: Tensor, window_mask: Tensor) -> WindowSeen:
        """Return what is seen in each window by itself.

        A window that is False in the mask is never shown to the backbone; all that is returned of it is 0.

        Args:
            clips: (N, W, ...); W may be any number, such as 1 for windows that are kept and used again.
            window_mask: (N, W).
        """
        flat, mask = clips.flatten(0, 1), window_mask.flatten()
        hidden = not bool(mask.all())
        at = mask.nonzero()[:, 0] if hidden else mask.new_empty(0, dtype=torch.int64)
        if hidden:  # an empty batch would break batch norms, so if nothing may be seen, one blank clip is
            flat = flat[at] if len(at) else torch.zeros_like(flat[:1])
        pooled, tokens = self.backbone(flat)  # (M, C), (M, L, C)
        program = None if self.program is None else self.program(tokens)  # (M, K, classes)

        def placed(values: Tensor) -> Tensor:
            if hidden:
                blank = values.new_zeros(len(mask), *values.shape[1:])
                values = blank.index_copy(0, at, values[: len(at)])
            return values.unflatten(0, window_mask.shape)

        found = None if program is None else ProgramLogits(*map(placed, program))
        return WindowSeen(placed(pooled), found, self._summary(found))

    @property
    def summarises(self) -> bool:
        """Whether classes are read from the programs of windows."""
        return self.program is not None and self.aggregate is not None and self.aggregate.reads_programs

    def _summary(self, program: ProgramLogits | None) -> Tensor | None:
        return summarise(program, self.tail) if program is not None and self.summarises else None

    def classify(self, seen: WindowSeen, window_mask: Tensor) -> ClassLogits:
        """Return verb, noun and action logits (N, classes) from W windows; None for what is left out.

        Windows that are False in `window_mask` (N, W) have no influence where W > 1.
        """
        if seen.pooled.shape[1] != self.windows:
            raise ValueError(f"{seen.pooled.shape[1]} windows, but {self.windows} are expected")
        if self.aggregate is None:
            return self.classes(seen.pooled[:, 0])
        return self.classes(self.aggregate(seen.pooled, seen.summary, window_mask))

    def unpack(self, packed: Tensor) -> WindowSeen:
        """Return what `WindowSeen.pack` made (N, W, C + F), without the programs' logits."""
        width = self.backbone.width
        summary = packed[..., width:] if packed.shape[-1] > width else None
        return WindowSeen(packed[..., :width], None, summary)


def _check_context(context: str, windows: int, programs: ProgramClasses | None) -> None:
    if context not in CONTEXTS:
        raise ConfigError(f"context is '{context}'", f"Give one of {', '.join(CONTEXTS)}")
    if windows > 1 and context == "programs" and programs is None:
        raise ConfigError(
            "context is 'programs', but the data come without programs",
            "Give a programs file (see: leaplan generate-programs --help), or set the context to features",
        )
