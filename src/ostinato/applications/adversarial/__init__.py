"""Two players on one clock: generator and discriminator, their rates in phase, in anti-phase, or at any shift.

`TwoPlayers` binds a plan to two optimizers in one line. `play` trains small networks on a mixture under any plans and seeds at once, and `Coverage`
says what they learnt by the published protocol: modes covered, share of high quality, reverse KL, Jensen-Shannon divergence. `images` scores
generated images.
"""

from __future__ import annotations

from ostinato.applications.adversarial.coverage import Coverage
from ostinato.applications.adversarial.losses import loss
from ostinato.applications.adversarial.mixtures import Mixture, mixture
from ostinato.applications.adversarial.outcome import Games
from ostinato.applications.adversarial.players import TwoPlayers, waves
from ostinato.applications.adversarial.playing import play

__all__ = ["Coverage", "Games", "Mixture", "TwoPlayers", "loss", "mixture", "play", "waves"]
