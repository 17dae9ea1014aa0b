"""The questions of the study, and the comparison that answers each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

EVERY = ("moex", "mixstyle", "efdmix", "dsu", "padain", "crossnorm", "mixup", "cutmix", "cutmix+moex")


@dataclass(frozen=True)
class Part:
    """A comparison that answers a question.

    Args:
        name: Name of its folder.
        question: The question, used as a heading.
        strategies: Strategies besides training without mixing, as `featmix.compare.compare` takes them; empty for a probe of
            the layers.
        seeds: Number of seeds.
        site: Site of strategies that name none.
        settings: Other settings of the comparison.
        against: Baseline of the findings; empty for training without mixing.
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
        """Whether layers are probed instead of a comparison."""
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
