"""The questions of the study, and what is run to answer each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

EVERY = ("moex", "mixstyle", "efdmix", "dsu", "padain", "crossnorm", "mixup", "cutmix", "cutmix+moex")


@dataclass(frozen=True)
class Part:
    """A comparison that answers a question.

    Args:
        name: Of its folder.
        question: What is asked, for a heading.
        strategies: Beside training without mixing, as `featmix.compare.compare` takes them; none has the layers probed instead.
        seeds: How many.
        site: Where strategies act that name no site.
        settings: All others of the comparison.
        against: What findings are taken to; empty for training without mixing.
    """

    name: str
    question: str
    strategies: Sequence[str] = ()
    seeds: int = 12
    site: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    against: str = ""

    @property
    def is_probe(self) -> bool:
        """True where layers are probed."""
        return not self.strategies


def _fashion(limit: int, epochs: int) -> dict[str, Any]:
    return {"data": "fashion-mnist", "styles": "plain", "limit": limit, "epochs": epochs}


PARTS = (
    Part("digits", "Which strategies help in the training styles, and in a new one?", EVERY),
    Part("lambda", "Which share λ of the label should a sample keep under MoEx?", ("moex:lam=0.5..0.95/10",), seeds=6),
    Part(
        "normalizers", "Which moments should MoEx exchange?", ("moex:norm=pono|in|ln|gn4",), seeds=6, against="moex:norm=pono"
    ),
    Part("sites", "Where should MoEx and MixStyle act?", ("moex", "mixstyle"), seeds=6, site="stem,layer1,layer2"),
    Part("fashion-1000", "Which help with a thousand images of clothes?", EVERY, settings=_fashion(1_000, 20)),
    Part("fashion-4000", "Which help with four thousand?", EVERY, settings=_fashion(4_000, 8)),
    Part("fashion", "Which help with all sixty thousand?", EVERY, settings=_fashion(60_000, 1)),
    Part("probe", "Do moments carry the class?"),
)
