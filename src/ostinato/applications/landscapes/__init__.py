"""Landscapes of training: how curved the loss of a model is, and how noisy its gradient."""

from __future__ import annotations

from ostinato.applications.landscapes.curvature import Curvature, GradientNoise, curvature_of, gradient_noise_of

__all__ = ["Curvature", "GradientNoise", "curvature_of", "gradient_noise_of"]
