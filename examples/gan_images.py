"""A small image GAN on Fashion-MNIST, in phase and in anti-phase; `python examples/gan.py --images` runs it in a few minutes.

Networks after A. Radford, L. Metz, S. Chintala, arXiv 1511.06434. FID and KID rest on the features of a small classifier that is trained here first: they compare these two runs, and nothing else.
"""

from __future__ import annotations

import time

import torch
from matplotlib.figure import Figure, SubFigure
from torch import Tensor, nn

from ostinato.applications import adversarial
from ostinato.applications.adversarial.images import Distances, distances, learn_features
from ostinato.training import datasets
from ostinato.training.config import DataConfig

ROUNDS, CYCLES, RATE, BATCH, LATENT, SCORED = 2000, 4, 2e-4, 64, 32, 10_000
PHASES = (0.25, 0.5, 0.75, 1.0)
SHOWN = 8


def generator() -> nn.Module:
    """Return a network from latent numbers to images of 28x28 in [0, 1]."""
    return begun(
        nn.Linear(LATENT, 64 * 7 * 7), nn.BatchNorm1d(64 * 7 * 7), nn.ReLU(), nn.Unflatten(1, (64, 7, 7)),
        nn.ConvTranspose2d(64, 32, 4, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 4, stride=2, padding=1), nn.Sigmoid(),
    )  # fmt: skip


def discriminator() -> nn.Module:
    """Return a network from images to scores."""
    return begun(
        nn.Conv2d(1, 32, 4, stride=2, padding=1), nn.LeakyReLU(0.2),
        nn.Conv2d(32, 64, 4, stride=2, padding=1), nn.BatchNorm2d(64), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(64 * 7 * 7, 1),
    )  # fmt: skip


def begun(*layers: nn.Module) -> nn.Module:
    """Return the layers in a row, their weights drawn small, as such games want them."""
    for layer in layers:
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


def train(shift: float, real: Tensor) -> tuple[nn.Module, list[Tensor]]:
    """Train both players on one clock; return the generator and what it made of the same numbers at each phase of the last cycle."""
    torch.manual_seed(0)
    g, d = generator(), discriminator()
    opt_g, opt_d = (torch.optim.Adam(model.parameters(), betas=(0.5, 0.999)) for model in (g, d))
    plan = adversarial.waves(0.1 * RATE, 2 * RATE, total=ROUNDS, count=CYCLES, shift=shift)
    game = adversarial.TwoPlayers(plan, generator=opt_g, discriminator=opt_d)
    loss, asked, sheets = adversarial.loss("non-saturating"), torch.randn(SHOWN, LATENT), []
    length = ROUNDS // CYCLES
    for number in range(1, ROUNDS + 1):
        images = real[torch.randint(len(real), (BATCH,))]
        opt_d.zero_grad()
        loss.discriminator(d(images), d(g(torch.randn(BATCH, LATENT)).detach())).backward()
        opt_d.step()
        opt_g.zero_grad()
        loss.generator(d(g(torch.randn(BATCH, LATENT)))).backward()
        opt_g.step()
        game.step()
        if (number - (ROUNDS - length)) in [round(phase * length) for phase in PHASES]:
            sheets.append(made(g, asked))
    return g, sheets


@torch.no_grad()
def made(g: nn.Module, latent: Tensor) -> Tensor:
    """Return images, with the running statistics of batch normalisation."""
    g.eval()
    images = torch.cat([g(part) for part in latent.split(500)])
    g.train()
    return images


def images(picture: str = "gan-images.png") -> None:
    """Train both arms, score and draw them."""
    data = datasets.load(DataConfig(name="fashion-mnist"))
    assert isinstance(data.train, datasets.Split)
    real, labels = data.train.inputs[:20_000], torch.as_tensor(data.train.targets[:20_000])
    begun = time.perf_counter()
    features = learn_features(real, labels, epochs=2)
    print(
        f"a classifier for the features: error {features.error:.1%} on 2,000 images held out, {time.perf_counter() - begun:.0f} s"
    )
    figure = Figure(figsize=(SHOWN, 2 * len(PHASES) + 0.6), layout="constrained")
    halves = figure.subfigures(2, 1)
    for half, (arm, shift) in zip(halves, {"in phase": 0.0, "anti-phase": 0.5}.items(), strict=True):
        begun = time.perf_counter()
        g, sheets = train(shift, real)
        scored = distances(real[:SCORED], made(g, torch.randn(SCORED, LATENT)), features)
        print(
            f"{arm:10} FID {scored.fid:.2f}, KID {scored.kid:.4f} (sd {scored.kid_sd:.4f}); {time.perf_counter() - begun:.0f} s"
        )
        draw(half, arm, sheets, scored)
    figure.savefig(picture, dpi=110)
    print(f"\n{picture}")


def draw(half: SubFigure, arm: str, sheets: list[Tensor], scored: Distances) -> None:
    """Draw what one generator made of the same numbers at each phase."""
    half.suptitle(f"{arm}: FID {scored.fid:.1f}, KID {scored.kid:.3f} on a small classifier's features", fontsize=10)
    rows = half.subplots(len(PHASES), 1)
    for axes, phase, sheet in zip(rows, PHASES, sheets, strict=True):
        axes.imshow(torch.cat(list(sheet[:, 0]), dim=1), cmap="gray_r", vmin=0, vmax=1)
        axes.set(xticks=[], yticks=[], ylabel=f"phase {phase:g}")
