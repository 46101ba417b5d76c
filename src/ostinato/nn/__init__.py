"""Torch's modules with the scheduled value in a buffer, so that a compiled model is never compiled again when the value changes."""

from ostinato.nn import functional
from ostinato.nn.augmentation import InputNoise, RandomShift
from ostinato.nn.dropout import Dropout, Dropout1d, Dropout2d, Dropout3d, StochasticDepth
from ostinato.nn.losses import FocalLoss, LabelSmoothingCrossEntropy, Temperature
from ostinato.nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from ostinato.nn.random_layers import RandomLayer
from ostinato.nn.swapping import Swapped, compile_safe
from ostinato.nn.values import ScheduledModule

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Dropout",
    "Dropout1d",
    "Dropout2d",
    "Dropout3d",
    "FocalLoss",
    "InputNoise",
    "LabelSmoothingCrossEntropy",
    "RandomLayer",
    "RandomShift",
    "ScheduledModule",
    "StochasticDepth",
    "Swapped",
    "Temperature",
    "compile_safe",
    "functional",
]
