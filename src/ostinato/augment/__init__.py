"""Augmentation of whole batches whose strength in [0, 1] is a number that a plan can drive.

Each operation is a function of a batch, a strength s and a random generator. At s = 0 it returns the very tensors that it was given; at s = 1
it goes as far as its `maximum` says, and never further. `Augment` puts several together: ``augment.strength`` is an ordinary target, and
what is drawn follows from (seed, count) alone, so that any process makes the same batch, also after a resume.

====================  ===============================================================  =========================  =======
operation             what it does, with u in [0, 1) drawn anew                         what it takes              maximum
====================  ===============================================================  =========================  =======
`shift`               moves by s·m·(2u - 1) of width and height, zeros outside          images (N, C, H, W)        0.25
`flip`                left to right, with probability s·m                               images                     0.5
`cutout`              zeros a rectangle with sides round(s·m·u·H), round(s·m·u·W)       images                     0.5
`colour`              multiplies each channel by 1 + s·m·(2u - 1)                       images                     0.5
`cutmix`              takes a rectangle, area about s·m·u, from another; mixes targets  images                     0.5
`mixup`               x + λ·(other - x) with λ = s·m·u; mixes targets                   floating numbers (N, ...)  0.5
`noise`               x + s·m·ε, ε normal                                               floating numbers           0.1
`feature_noise`       x + s·m·d·ε with each feature's own deviation d                   features (N, F, ...)       0.1
`feature_dropout`     zeros each number with probability s·m                            features                   0.2
`token_dropout`       puts the mask's id for each token with probability s·m            whole numbers (N, ...)     0.15
====================  ===============================================================  =========================  =======

With the same draws a higher strength goes further in the same direction. The operations on images but `flip` are kornia's
(``pip install 'ostinato[augment]'``); kornia's random generators are not used, and no global random state is touched.
"""

from ostinato.augment.augmentation import NAMES, Augment
from ostinato.augment.draws import generator
from ostinato.augment.images import colour, cutout, flip, shift
from ostinato.augment.mixing import cutmix, mixup, soft
from ostinato.augment.numbers import feature_dropout, feature_noise, noise, token_dropout

__all__ = [
    "NAMES",
    "Augment",
    "colour",
    "cutmix",
    "cutout",
    "feature_dropout",
    "feature_noise",
    "flip",
    "generator",
    "mixup",
    "noise",
    "shift",
    "soft",
    "token_dropout",
]
