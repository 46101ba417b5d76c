"""Rare classes under four losses and two schedules: error, balanced error, AUPRC and geometric mean, and what each class is found of.

python examples/imbalance.py [PICTURE]

On Fashion-MNIST with a long tail of 100 to 1 where OSTINATO_DATA names a folder that holds it, else on scikit-learn's digits with one of 20 to 1.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure
from torch import nn

import ostinato as ost
from ostinato.applications import imbalance
from ostinato.training import datasets, parse_config

SEEDS = range(4)
real = "OSTINATO_DATA" in os.environ
data = imbalance.long_tailed(
    datasets.load(parse_config({"data": "fashion-mnist" if real else "digits"}).data), ratio=100 if real else 20
)
steps, side, rate = (2400, data.shape[-1] // 2, 0.1) if real else (600, data.shape[-1], 0.05)


def make_model() -> nn.Module:
    """Return a perceptron on images of half the side."""
    pool = [nn.AvgPool2d(2)] if real else []
    return nn.Sequential(
        *pool, nn.Flatten(), nn.Linear(side * side, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def gamma(low: float, high: float) -> ost.Binding:
    """Return a focus that rises once, from low to high."""
    return ost.mirror(low, high, cycle=ost.Cycle("sawtooth", count=1))


focus = {"cross entropy": gamma(0.0, 0.0), "focal, gamma 2": gamma(2.0, 2.0), "focal, gamma 0 to 4": gamma(0.0, 4.0)}
rates = {"one cosine": ost.Cycle("cosine", count=1), "five cycles": ost.Cycle("cosine", count=5)}
counts = data.train.targets.bincount()
weights = imbalance.class_weights(data.train.targets, data.classes, "class-balanced")


def train(focuses: dict[str, ost.Binding], loss: imbalance.FocalLoss) -> dict[tuple[str, str], list]:
    """Train every focus under every schedule and seed at once; return the reports on the test data."""
    plans = {
        (name, schedule): ost.Plan(total=steps, cycle=cycle, bindings={"optimizer.lr": ost.wave(0.0, rate), "loss.gamma": course})
        for name, course in focuses.items()
        for schedule, cycle in rates.items()
    }  # fmt: skip
    result = ost.population.train(
        make_model, [plan for plan in plans.values() for _ in SEEDS], data, loss=loss, optimizer="sgd",
        optimizer_options={"momentum": 0.9, "weight_decay": 5e-4}, seeds=[*SEEDS] * len(plans), drop_last=True, evaluate="last",
    )  # fmt: skip
    outputs = ost.population.predict(make_model, result.weights, data.test.inputs).softmax(-1).numpy()
    labels = data.test.targets.numpy()
    reports = [imbalance.report(each, labels, data.labels) for each in outputs]
    return {key: reports[len(SEEDS) * place :][: len(SEEDS)] for place, key in enumerate(plans)}


found = train(focus, imbalance.FocalLoss())
weighted = {"cross entropy, class-balanced": focus["cross entropy"]}
found |= train(weighted, imbalance.FocalLoss(alpha=weights))

print(f"{data.name}: {len(data.train):,} examples, classes of {int(counts.max()):,} to {int(counts.min()):,}; {steps:,} steps, means of {len(SEEDS)} seeds\n")  # fmt: skip
print(f"{'loss':30} {'schedule':12} {'error':>7} {'balanced':>9} {'AUPRC':>7} {'geometric mean':>15}")
score: dict[str, Callable] = {
    "error": lambda one: one.classes.error,
    "balanced": lambda one: one.classes.balanced_error,
    "AUPRC": lambda one: one.classes.mean_average_precision,
    "geometric": lambda one: one.geometric_mean,
}
for (name, schedule), reports in found.items():
    means = [100 * np.mean([of(one) for one in reports]) for of in score.values()]
    print(f"{name:30} {schedule:12} {means[0]:6.2f}% {means[1]:8.2f}% {means[2]:6.2f}% {means[3]:14.2f}%")
print(f"\nfocal, gamma 2, one cosine, seed 0:\n{found['focal, gamma 2', 'one cosine'][0]}")

figure = Figure(figsize=(10.0, 4.2), layout="constrained")
recalls, errors = figure.subplots(1, 2, width_ratios=(3, 2))
order = np.argsort(-counts.numpy(), kind="stable")
names = list(dict.fromkeys(name for name, _ in found))
for place, name in enumerate(names):
    recall = np.mean([one.classes.recall for one in found[name, "one cosine"]], axis=0)
    recalls.plot(100 * recall[order], marker="o", markersize=4, linewidth=1.2, label=name, color=f"C{place}")
    for mark, schedule in zip("os", rates, strict=True):
        values = [100 * score["balanced"](one) for one in found[name, schedule]]
        at = place + (0.15 if mark == "s" else -0.15)
        errors.plot([at] * len(values), values, mark, color=f"C{place}", markersize=5, fillstyle="full" if mark == "o" else "none")  # fmt: skip
recalls.set_xticks(range(len(order)), [f"{data.labels[k]}\n{int(counts[k]):,}" for k in order], fontsize=7)
recalls.set(ylabel="recall, %", title="Recall, classes from the most frequent to the rarest; one cosine")
recalls.legend(frameon=False, fontsize=8, loc="lower left")
errors.set_xticks(range(len(names)), [name.replace(", ", ",\n") for name in names], fontsize=7)
errors.set(ylabel="balanced error, %", title="Seeds: filled one cosine, open five cycles")
for axes in (recalls, errors):
    axes.spines[["top", "right"]].set_visible(False)
picture = sys.argv[1] if len(sys.argv) > 1 else "imbalance.png"
figure.savefig(picture, dpi=150)
print(f"\n{picture}")
