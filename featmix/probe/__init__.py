"""Do moments carry the class? Linear probes on the moments of a layer, on normalized features, and on complete features."""

from __future__ import annotations

from featmix.probe.experiment import probe
from featmix.probe.findings import Finding

__all__ = ["Finding", "probe"]
