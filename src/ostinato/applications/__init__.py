"""What the one clock is used for: a package for each kind of training, imported by its own name."""

from __future__ import annotations
