"""Models and data that a comparison meets with difficulty."""

from __future__ import annotations

from torch import Tensor, nn

from running import Jittered


class Branching(nn.Module):
    """Its control flow depends on data, so that members cannot be trained at once."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.flatten(1))
        return y if float(y.detach().sum()) > 0 else 1.5 * y


def branching() -> nn.Module:
    return Branching()


def pictures() -> tuple[Jittered, Jittered, int]:
    """Examples that are made when they are asked for."""
    return Jittered(20), Jittered(10), 3
