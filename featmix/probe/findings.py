"""Results of probes: the accuracy of each, and means over seeds for each normalizer at each layer."""

from __future__ import annotations

from dataclasses import dataclass

from featmix.compare.intervals import Estimate
from featmix.compare.results import DECIMALS


@dataclass(frozen=True)
class Probed:
    """The accuracy of one probe; its fields are the columns of ``probes.csv``.

    Args:
        seed: Seed of the network.
        network: ``trained`` or ``untrained``.
        site: The layer.
        norm: The normalizer.
        part: ``moments``, ``normalized`` or ``all``.
        accuracy: Accuracy on test images.
        chance: The share of the most frequent class in the test images.
    """

    seed: int
    network: str
    site: str
    norm: str
    part: str
    accuracy: float
    chance: float

    def __post_init__(self) -> None:
        for name in ("accuracy", "chance"):  # as exact as the file
            object.__setattr__(self, name, round(float(getattr(self, name)), DECIMALS))

    @property
    def key(self) -> tuple[int, str, str, str, str]:
        """The key that no other probe of the experiment has."""
        return self.seed, self.network, self.site, self.norm, self.part


@dataclass(frozen=True)
class Finding:
    """The results of the probes of one normalizer at one layer.

    Args:
        network: ``trained`` or ``untrained``.
        site: The layer.
        norm: The normalizer.
        moments: Accuracy with only its moments.
        normalized: Accuracy with normalized features, without moments.
        whole: Accuracy with complete features.
        chance: The share of the most frequent class.
    """

    network: str
    site: str
    norm: str
    moments: Estimate
    normalized: Estimate
    whole: Estimate
    chance: float
