"""`mlp`: a multi-layer perceptron on a window's summary.

Letters: B windows, F features, H hidden units, K logits.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field
from torch import nn

from vestige.models.base import HyperParameters
from vestige.models.neural import NeuralDetector, NumbersHyper
from vestige.models.space import Range, Space
from vestige.schema import Kind


class MlpHyper(NumbersHyper):
    """`hidden`: units of a layer."""

    hidden: int = Field(128, ge=1, le=4096)
    layers: int = Field(2, ge=1, le=16)
    dropout: float = Field(0.2, ge=0, lt=1)


class MlpDetector(NeuralDetector):
    """Features -> (linear, layer norm, GELU, dropout) x layers -> logits."""

    name: ClassVar[str] = "mlp"
    about: ClassVar[str] = "multi-layer perceptron on the summary of a window"
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("summary",),)
    hyper_parameters: ClassVar[type[HyperParameters]] = MlpHyper
    hyper: MlpHyper
    space: ClassVar[Space] = {
        **NeuralDetector.space,
        "hidden": Range(32, 512, log=True),
        "layers": Range(1, 4),
        "dropout": Range(0.0, 0.5),
    }

    def make_module(self) -> nn.Module:
        """See `NeuralDetector.make_module`: `(B, F)` -> `(B, K)`."""
        hyper = self.hyper
        layers: list[nn.Module] = []
        width = self.width(self.inputs[0])
        for _ in range(hyper.layers):
            layers += [
                nn.Linear(width, hyper.hidden),
                nn.LayerNorm(hyper.hidden),
                nn.GELU(),
                nn.Dropout(hyper.dropout),
            ]
            width = hyper.hidden
        return nn.Sequential(*layers, nn.Linear(width, self.outputs))
