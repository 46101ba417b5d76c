"""Test problems with known minima, thousands of starts at once, under any plans: where a claim about schedules costs seconds to check.

===================  ======================================================================================================
problem              what it is
===================  ======================================================================================================
`Quadratic`          a bowl of given condition number, turned at random
`MovingQuadratic`    one whose curvature and noise grow with the step
`Rosenbrock`         a curved valley, in two or more dimensions
`Saddle`             a saddle between two minima; how flat, is drawn
`Plateau`            a plane that flattens out, with a minimum far away
`DoubleWells`        one dimension, two wells of stated places and depths; mirrored and shifted
`Logistic`           minibatch logistic regression on bundled data, its minimum known to rounding
===================  ======================================================================================================

`descend` follows all plans from all starts at once with torch's update rules in float64; `Problem` is what one of your own derives from.
`curvature_of` and `gradient_noise_of` measure the landscape of any model: how curved its loss is, and how noisy its gradient.
"""

from __future__ import annotations

from ostinato.applications.landscapes.curvature import Curvature, GradientNoise, curvature_of, gradient_noise_of
from ostinato.applications.landscapes.descending import descend
from ostinato.applications.landscapes.flats import Plateau, Saddle
from ostinato.applications.landscapes.logistic import Logistic
from ostinato.applications.landscapes.outcome import Descent, Share, Times, share
from ostinato.applications.landscapes.problem import Problem
from ostinato.applications.landscapes.surfaces import MovingQuadratic, Quadratic, Rosenbrock
from ostinato.applications.landscapes.wells import DoubleWells

__all__ = [
    "Curvature",
    "Descent",
    "DoubleWells",
    "GradientNoise",
    "Logistic",
    "MovingQuadratic",
    "Plateau",
    "Problem",
    "Quadratic",
    "Rosenbrock",
    "Saddle",
    "Share",
    "Times",
    "curvature_of",
    "descend",
    "gradient_noise_of",
    "share",
]
