"""Conformance suites that other packages may run against objects of their own."""

from ostinato.testing.targets import TargetTestCase

__all__ = ["TargetTestCase"]
