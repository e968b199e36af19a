"""leaplan: plans and action programs of what people do in video."""

__version__ = "0.1.0"
