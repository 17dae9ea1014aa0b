"""Input space and feature space in one object: :class:`Pipeline`."""

from __future__ import annotations

from featmix.pipeline.mixer import PipelineMixer
from featmix.pipeline.pipeline import Pipeline

__all__ = ["Pipeline", "PipelineMixer"]
