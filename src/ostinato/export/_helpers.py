"""The small functions that an exported script may need, as text; only those that it uses are written into it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

__all__ = ["HELPERS", "helper_source"]

HELPERS: Mapping[str, str] = {
    "cosine": '''\
def cosine(phase):
    """Return 1 at the start of a cycle, falling towards 0 along half a cosine."""
    return (1.0 + math.cos(math.pi * phase)) / 2.0
''',
    "triangular": '''\
def triangular(phase, up):
    """Return a line from 0 up to 1 at `up`, then down to 0."""
    if phase < up:
        return phase / up
    return (1.0 - phase) / (1.0 - up)
''',
    "sine": '''\
def sine(phase):
    """Return 0 at the start of a cycle, 1 in the middle, along a whole cosine."""
    return (1.0 - math.cos(2.0 * math.pi * phase)) / 2.0
''',
    "sawtooth": '''\
def sawtooth(phase):
    """Return 1 at the start of a cycle, falling in a line."""
    return 1.0 - phase
''',
    "square": '''\
def square(phase, duty):
    """Return 1 until `duty`, then 0."""
    return 1.0 if phase < duty else 0.0
''',
    "exponential": '''\
def exponential(phase, ratio):
    """Return 1 at the start of a cycle, falling `ratio`-fold towards 0."""
    return (ratio**-phase - 1.0 / ratio) / (1.0 - 1.0 / ratio)
''',
    "rotated": '''\
def rotated(phase, shift):
    """Return the phase `shift` of a cycle earlier, in [0, 1)."""
    return min((phase - shift) % 1.0, math.nextafter(1.0, 0.0))
''',
    "clipped": '''\
def clipped(value, low, high):
    """Return the value, or the bound that it is past."""
    return min(max(value, low), high)
''',
    "between": '''\
def between(low, high, level):
    """Return the value at a level in [0, 1] on the line from `low` to `high`."""
    return min(max(low * (1.0 - level) + high * level, low), high)
''',
    "between_geometric": '''\
def between_geometric(low, high, level):
    """Return low * (high / low) ** level."""
    return min(max(low ** (1.0 - level) * high**level, low), high)
''',
    "anneal": '''\
def anneal(count, begin, end, first, last):
    """Return half a cosine from `first` at `begin` to `last` at `end`."""
    done = (count - begin) / (end - begin) if end != begin else 1.0
    return last + (first - last) / 2.0 * (1.0 + math.cos(math.pi * done))
''',
    "anneal_linear": '''\
def anneal_linear(count, begin, end, first, last):
    """Return a line from `first` at `begin` to `last` at `end`."""
    done = (count - begin) / (end - begin) if end != begin else 1.0
    return (last - first) * done + first
''',
}


def helper_source(used: Iterable[str]) -> list[str]:
    """Return the source of the helpers that are used, in a fixed order."""
    wanted = set(used)
    return [source for name, source in HELPERS.items() if name in wanted]
