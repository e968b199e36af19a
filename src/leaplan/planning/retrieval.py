"""From free text to labels: each written step is taken for the label that is most like it (PlanLLM, open vocabulary).

Shapes: B windows, T steps, N labels, U distinct texts, D width of the sentence encoder.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from leaplan.planning.counting import PAD
from leaplan.text.encoder import SentenceEncoder


def match_captions(
    captions: Sequence[Sequence[str]], encoder: SentenceEncoder, labels: Sequence[str], horizon: int
) -> Tensor:
    """Return plans (B, T), int64, of written steps: a label's own text is that label, else the highest cosine decides.

    Steps beyond the T-th are cut off; plans with fewer end in `PAD`. A text that the encoder can make nothing of
    (an embedding of zeros) is left out, and the steps behind it move up.

    Args:
        captions: Of each window, the steps as text.
        encoder: Frozen sentence encoder; asked only when a text is no label, and for each text once.
        labels: N texts, any label set.
        horizon: T.
    """
    known = {label: number for number, label in reversed(list(enumerate(labels)))}  # the first of equals
    strange = list(dict.fromkeys(text for caption in captions for text in caption if text not in known))
    if strange and labels:
        embeddings = encoder.encode([*strange, *labels])
        nearest = _nearest(embeddings[: len(strange)], embeddings[len(strange) :])
        known |= {text: int(label) for text, label in zip(strange, nearest, strict=True) if label != PAD}
    plans = torch.full((len(captions), horizon), PAD)
    for plan, caption in zip(plans, captions, strict=True):
        steps = [known[text] for text in caption if text in known][:horizon]
        plan[: len(steps)] = torch.tensor(steps, dtype=torch.int64)
    return plans


def _nearest(texts: NDArray[np.float32], labels: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the nearest label (U,) of embeddings (U, D) among (N, D) by cosine; `PAD` where either side is zeros."""
    likeness = _unit(texts) @ _unit(labels).T  # (U, N)
    possible = texts.any(1, keepdims=True) & labels.any(1) & np.isfinite(likeness)
    best = np.where(possible, likeness, -np.inf).argmax(1)
    return np.where(possible.any(1), best, PAD)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(1e-12))
