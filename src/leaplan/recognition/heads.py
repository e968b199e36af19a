"""The classifiers of what is done: verb, noun and action, as UniFormerV2 classifies."""

from torch import Tensor, nn

ClassLogits = tuple[Tensor | None, Tensor | None, Tensor | None]  # verb, noun, action


class ClassHeads(nn.Module):
    """LayerNorm, dropout, and one linear layer per kind of class: UniFormerV2's head, with more than one label.

    Shapes: N clips, C width.

    Args:
        width: C.
        verbs, nouns, actions: Numbers of classes; 0 leaves a classifier out.
        dropout: Before the linear layers.
    """

    def __init__(self, width: int, verbs: int, nouns: int, actions: int, dropout: float = 0.5) -> None:
        super().__init__()
        if not verbs + nouns + actions:
            raise ValueError("a recogniser needs classes: verbs, nouns and actions are all 0")
        self.norm = nn.LayerNorm(width)
        self.drop = nn.Dropout(dropout)
        self.verb = _linear(width, verbs)
        self.noun = _linear(width, nouns)
        self.action = _linear(width, actions)

    def forward(self, features: Tensor) -> ClassLogits:
        """Return logits (N, verbs), (N, nouns) and (N, actions) of `features` (N, C); None for what is left out."""
        features = self.drop(self.norm(features))
        verb, noun, action = (
            None if head is None else head(features) for head in (self.verb, self.noun, self.action)
        )  # fmt: skip
        return verb, noun, action


def _linear(width: int, classes: int) -> nn.Linear | None:
    if not classes:
        return None
    linear = nn.Linear(width, classes)
    nn.init.trunc_normal_(linear.weight, std=0.02)
    nn.init.zeros_(linear.bias)
    return linear
