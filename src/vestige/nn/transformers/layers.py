"""The fully connected layers that the blocks are made of."""

from __future__ import annotations

from torch import Tensor, nn

from vestige.nn.transformers import dense
from vestige.nn.transformers.config import check_rate, check_sizes
from vestige.nn.transformers.dropout import Dropout
from vestige.nn.transformers.quantize import QuantizedLinear


class FC(nn.Module):
    """A linear map, then (each if asked for) ReLU and dropout: (..., in_size) -> (..., out_size).

    Example:
        >>> FC(in_size=256, out_size=128, dropout_rate=0.1)(torch.randn(32, 256)).shape
        torch.Size([32, 128])
    """

    def __init__(self, in_size: int, out_size: int, dropout_rate: float = 0.0, use_relu: bool = True) -> None:
        super().__init__()
        check_sizes(in_size=in_size, out_size=out_size)
        check_rate(dropout_rate)
        self.dropout_rate = dropout_rate
        self.use_relu = use_relu
        self.linear = nn.Linear(in_size, out_size)
        self.dropout = Dropout(dropout_rate)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in_size) -> (..., out_size)."""
        linear: nn.Module = self.linear
        if self.use_relu and isinstance(linear, QuantizedLinear):
            return self.dropout(linear(x, relu=True))  # type: ignore[no-any-return]
        x = dense.apply_linear(x, linear)
        return self.dropout(x.relu() if self.use_relu else x)  # type: ignore[no-any-return]


class MLP(nn.Module):
    """An FC layer, then a linear map: (..., in_size) -> (..., mid_size) -> (..., out_size).

    Example:
        >>> MLP(in_size=256, mid_size=1024, out_size=256, dropout_rate=0.1)(torch.randn(32, 256)).shape
        torch.Size([32, 256])
    """

    def __init__(
        self, in_size: int, mid_size: int, out_size: int, dropout_rate: float = 0.0, use_relu: bool = True
    ) -> None:
        super().__init__()
        check_sizes(in_size=in_size, mid_size=mid_size, out_size=out_size)
        self.fc = FC(in_size, mid_size, dropout_rate, use_relu)
        self.linear = nn.Linear(mid_size, out_size)

    def forward(self, x: Tensor, outputs: int | None = None) -> Tensor:
        """x (..., in_size) -> (..., out_size), or only the first ``outputs`` of them."""
        first, second = self.fc.linear, self.linear
        if not self._is_as_built() or not dense.can_take(x, first, second):
            return self.linear(self.fc(x))[..., :outputs]  # type: ignore[no-any-return]
        rate = self.fc.dropout.p if self.fc.dropout.training else 0.0
        wanted = (second.weight[:outputs], second.bias[:outputs])
        return dense.apply_mlp(x, (first.weight, first.bias), wanted, rate)

    def _is_as_built(self) -> bool:
        """Whether the two layers are as built here, in a form that is computed in one go."""
        return (
            type(self.fc) is FC
            and self.fc.use_relu
            and type(self.fc.dropout) is Dropout
            and not any(map(dense.is_watched, (self.fc, self.fc.dropout)))
        )
