"""Partitions: which examples each client of a federation holds. Pure functions of their arguments, in numpy alone.

Each returns one array of indices for each client: none is in two of them, and together they are all examples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ostinato.applications.federated.holdings import Description, Parts, column, describe
from ostinato.checks import is_finite, is_whole, whole
from ostinato.errors import ConfigError

__all__ = ["Description", "Parts", "by_group", "by_quantity", "by_spans", "describe", "dirichlet", "even"]

_whole = partial(whole, of=Integral)

Indices = NDArray[np.int64]
_TRIES = 1000
_DIRICHLET, _QUANTITY, _EVEN = 20_310, 20_311, 20_312  # streams of one seed


def dirichlet(labels: ArrayLike, clients: int, alpha: float, *, seed: int = 0, least: int = 1) -> Parts:
    """Share the examples of every class among the clients in proportions p ~ Dirichlet(alpha, ..., alpha), drawn anew for each class.

    Small alpha gives each client few classes and unequal sizes; large alpha gives all the same mix. The whole draw is repeated until every
    client has `least` examples, at most 1,000 times.

    Args:
        labels: The class of every example, (N,).
        clients: How many there are.
        alpha: Concentration, above 0.
        seed: Of the draw.
        least: Examples that every client has at least.

    Returns:
        Indices of each client, ascending.

    Raises:
        ConfigError: An argument cannot be, or no draw gave every client enough.

    Source: M. Yurochkin et al., Bayesian Nonparametric Federated Learning of Neural Networks, ICML 2019, arXiv 1905.12022.

    >>> parts = dirichlet([0, 1] * 50, 4, 0.5, seed=3, least=5)
    >>> sorted(np.concatenate(parts).tolist()) == list(range(100)), min(len(part) for part in parts) >= 5
    (True, True)
    """
    found = column(labels, "labels")
    _check_sizes(len(found), clients, least)
    _check_positive("alpha", alpha)
    rng = np.random.default_rng([_whole("seed", seed, 0), _DIRICHLET])
    members = [np.flatnonzero(found == label) for label in np.unique(found)]

    def draw() -> Parts:
        dealt = [_split(rng.permutation(own), rng.dirichlet([alpha] * clients)) for own in members]
        return tuple(np.sort(np.concatenate(own)) for own in zip(*dealt, strict=True))

    return _until(draw, least, f"alpha={alpha:g}, {clients} clients")


def by_quantity(
    examples: int,
    clients: int,
    *,
    alpha: float | None = None,
    sigma: float | None = None,
    seed: int = 0,
    least: int = 1,
) -> Parts:
    """Give clients unequal numbers of examples drawn at random, so that all have the same mix of classes up to chance.

    The shares are Dirichlet(alpha, ..., alpha), or in proportion to exp(sigma z) with z standard normal.

    Args:
        examples: How many there are.
        clients: How many there are.
        alpha: Concentration of the shares, above 0; or
        sigma: standard deviation of their logarithms, at least 0.
        seed: Of the draw.
        least: Examples that every client has at least: the draw is repeated, at most 1,000 times.

    Raises:
        ConfigError: An argument cannot be, or no draw gave every client enough.

    >>> sizes = [len(part) for part in by_quantity(100, 4, sigma=1.0, seed=1)]
    >>> sum(sizes), max(sizes) > 2 * min(sizes)
    (100, True)
    """
    _check_sizes(examples, clients, least)
    if (alpha is None) == (sigma is None):
        raise ConfigError(f"by_quantity: got alpha={alpha!r} and sigma={sigma!r}, expected one of them")
    if alpha is not None:
        _check_positive("alpha", alpha)
    if sigma is not None and (not is_finite(sigma, of=Real) or sigma < 0):
        raise ConfigError(f"sigma: got {sigma!r}, expected a number of at least 0")
    rng = np.random.default_rng([_whole("seed", seed, 0), _QUANTITY])

    def draw() -> Parts:
        pull = rng.standard_normal(clients)
        shares = rng.dirichlet([alpha] * clients) if alpha is not None else np.exp(_scaled(pull, sigma or 0.0))
        return tuple(np.sort(own) for own in _split(rng.permutation(examples), shares / shares.sum()))

    return _until(draw, least, f"{'alpha' if sigma is None else 'sigma'}={alpha if sigma is None else sigma:g}")


def even(examples: int, clients: int, *, seed: int = 0) -> Parts:
    """Deal the examples at random to clients of equal size, up to one: the federation of like clients.

    Args:
        examples: How many there are.
        clients: How many there are.
        seed: Of the draw.

    Raises:
        ConfigError: An argument cannot be.

    >>> [len(part) for part in even(10, 4)]
    [3, 3, 2, 2]
    """
    _check_sizes(examples, clients, 1)
    order = np.random.default_rng([_whole("seed", seed, 0), _EVEN]).permutation(examples)
    return tuple(np.sort(part) for part in np.array_split(order, clients))


def by_group(groups: ArrayLike, *, clients: int | None = None) -> Parts:
    """Give every group of examples to one client: writers of handwriting, hospitals, users.

    Args:
        groups: The group of every example, (N,): numbers or text.
        clients: Among how many clients to deal the groups, the largest first and each to whom has least so far; by default each group is a
            client, in the order of the groups' names.

    Raises:
        ConfigError: An argument cannot be, or there are more clients than groups.

    >>> [part.tolist() for part in by_group(["b", "a", "b", "c"])]
    [[1], [0, 2], [3]]
    >>> [part.tolist() for part in by_group(["b", "a", "b", "c"], clients=2)]
    [[0, 2], [1, 3]]
    """
    found = column(groups, "groups")
    names = np.unique(found)
    return _dealt([np.flatnonzero(found == name) for name in names], clients)


def by_spans(spans: Mapping[str, Sequence[Sequence[int]]], *, clients: int | None = None) -> Parts:
    """Give every role its parts of one long sequence: the places from `begin` up to and without `end` of each of its spans.

    Args:
        spans: From role to its [begin, end] pairs; no place may be in two spans.
        clients: As for `by_group`; by default each role is a client, in the order given.

    Returns:
        Places of the sequence, ascending, for each client; together they are all places in a span.

    Raises:
        ConfigError: An argument cannot be, two spans share a place, or there are more clients than roles.

    >>> [part.tolist() for part in by_spans({"ROMEO": [[0, 2], [5, 6]], "JULIET": [[2, 4]]})]
    [[0, 1, 5], [2, 3]]
    """
    if not spans:
        raise ConfigError("spans: got none, expected [begin, end] pairs for at least one role")
    roles = []
    for role, pairs in spans.items():
        for pair in pairs:
            if len(pair) != 2 or not all(is_whole(end, of=Integral) for end in pair) or not 0 <= pair[0] < pair[1]:
                raise ConfigError(f"spans: {role!r} has {list(pair)!r}, expected [begin, end] with 0 <= begin < end")
        own = [np.arange(begin, end, dtype=np.int64) for begin, end in pairs]
        roles.append(np.sort(np.concatenate([np.empty(0, np.int64), *own])))
    _check_disjoint(np.concatenate(roles))
    return _dealt(roles, clients)


def _split(order: Indices, shares: NDArray[np.float64]) -> list[Indices]:
    """Cut an order into parts in proportion to shares that sum to 1."""
    cuts = np.floor(np.cumsum(shares)[:-1] * len(order) + 0.5).astype(np.int64)
    return list(np.split(order, np.minimum(cuts, len(order))))


def _until(draw: Callable[[], Parts], least: int, what: str) -> Parts:
    """Return the first draw in which every client has enough."""
    most = 0
    for _ in range(_TRIES):
        parts = draw()
        smallest = min(len(part) for part in parts)
        if smallest >= least:
            return parts
        most = max(most, smallest)
    raise ConfigError(
        f"least: in {_TRIES:,} draws ({what}) the smallest client had at most {most} examples, expected {least}; lower it, or take fewer clients"
    )


def _dealt(groups: Sequence[Indices], clients: int | None) -> Parts:
    """Return each group as a client, or deal the largest first to whom has least."""
    if clients is None:
        return tuple(groups)
    if _whole("clients", clients, 1) > len(groups):
        raise ConfigError(f"clients: got {clients} for {len(groups)} groups, expected at most as many")
    hands: list[list[Indices]] = [[] for _ in range(clients)]
    held = np.zeros(clients, np.int64)
    for place in np.argsort([-len(group) for group in groups], kind="stable"):
        to = int(held.argmin())
        hands[to].append(groups[place])
        held[to] += len(groups[place])
    return tuple(np.sort(np.concatenate(hand)) for hand in hands)


def _check_disjoint(places: Indices) -> None:
    values, counts = np.unique(places, return_counts=True)
    if (counts > 1).any():
        raise ConfigError(f"spans: the place {values[counts > 1][0]} is in two spans; expected each in one")


def _check_sizes(examples: int, clients: int, least: int) -> None:
    _whole("examples", examples, 1)
    _whole("clients", clients, 1)
    _whole("least", least, 1)
    if clients * least > examples:
        raise ConfigError(
            f"clients: got {clients} of at least {least} examples, expected at most {examples} examples in all"
        )


def _check_positive(name: str, value: object) -> None:
    if not is_finite(value, of=Real) or not float(value) > 0:
        raise ConfigError(f"{name}: got {value!r}, expected a number above 0")


def _scaled(values: NDArray[np.float64], by: float) -> NDArray[np.float64]:
    scaled = by * values
    return np.asarray(scaled - scaled.max())
