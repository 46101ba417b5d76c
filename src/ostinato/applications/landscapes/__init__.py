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
"""

from __future__ import annotations

from ostinato.applications.landscapes.descending import descend
from ostinato.applications.landscapes.logistic import Logistic
from ostinato.applications.landscapes.outcome import Descent, Share, Times, share
from ostinato.applications.landscapes.problem import Problem
from ostinato.applications.landscapes.surfaces import MovingQuadratic, Plateau, Quadratic, Rosenbrock, Saddle
from ostinato.applications.landscapes.wells import DoubleWells

__all__ = [
    "Descent",
    "DoubleWells",
    "Logistic",
    "MovingQuadratic",
    "Plateau",
    "Problem",
    "Quadratic",
    "Rosenbrock",
    "Saddle",
    "Share",
    "Times",
    "descend",
    "share",
]
