"""Regularisers against the rate: the total of both, and the plan that keeps it constant.

A high rate regularises by its noise. Strengths such as dropout can give way as much as it adds:

.. math:: total(t) = weight · rate(t) / peak + strength_1(t) + strength_2(t) + ...

>>> import ostinato as ost
>>> plan = ost.Plan(total=100, cycle=ost.Cycle("cosine", count=5), bindings={"optimizer.lr": ost.wave(0.001, 0.1)})
>>> plan = balanced(plan, "model:Dropout.p", total=0.3, weight=0.25)
>>> print(total_of(plan.resolve()))
0.25·optimizer.lr/0.1 + model:Dropout.p = 0.3, constant
"""

from __future__ import annotations

from ostinato.balance.solving import balanced
from ostinato.balance.total import Total, strengths_of, total_of

__all__ = ["Total", "balanced", "strengths_of", "total_of"]
