"""The strategies page: a table, a section for each strategy, and the table of normalizers; and the front page's cards."""

import inspect

import cards
import torch
from front import heading
from readme_table import cited, markdown_table, strategy_table

import featmix as fm

SHAPE = (2, 8, 5, 5)


def pages() -> dict[str, str]:
    return {
        "parts/strategies.md": strategy_table(lambda name: f"[`{name}`](#strategy-{name})"),
        "parts/cards.md": "\n".join(_section(name) for name in fm.list_strategies()),
        "parts/methods.md": _grid([_card(name) for name in fm.list_strategies()]),
        "parts/normalizers.md": _normalizers(),
    }


def _section(name: str) -> str:
    cls = fm.strategy_class(name)
    tags = cls.tags
    notes = [
        "Mixes features and labels." if tags.mixes_labels else "Mixes features; labels stay.",
        f"Works at: {tags.where}. Usual place: {tags.default_site}.",
        f"Moments: {tags.moments}." if tags.moments else "",
        "Statistics are constants in backward, as published." if tags.stops_gradient else "",
        "The decision belongs to one resolution, so it needs the shape of its site." if tags.spatial else "",
        f"Paper: [{tags.paper}]({tags.url})." if tags.url else f"Paper: {tags.paper}.",
    ]
    return f"""
(strategy-{name})=
## {name}

{" ".join(note for note in notes if note)}

![{cls.__name__} on five digits: {_shown(name)}](_generated/cards/{name}.png)

```{{eval-rst}}
.. autoclass:: featmix.{cls.__name__}
   :show-inheritance:
```
"""


def _shown(name: str) -> str:
    if cards.on_features(fm.create(name)):
        return "features of a trained stem, their moment maps, and both after the exchange"
    return "before, partner, after"


def _grid(made: list[str]) -> str:
    return "\n".join([":::::{grid} 2 2 3 3", ":gutter: 2", ":class-container: methods", "", *made, ":::::", ""])


def _card(name: str) -> str:
    """A card of the front page: the picture, what the strategy does, where from."""
    title, does = heading(name)
    tags = fm.strategy_class(name).tags
    subject = "Feature maps of four digits" if cards.on_features(fm.create(name)) else "Four digits"
    return f"""::::{{grid-item-card}} {title}
:link: strategy-{name}
:link-type: ref
:img-top: _generated/cards/{name}-small.png
:img-alt: {subject}, and below them what {title} makes of them

{does}

:::{{card-footer}}
{cited(tags).partition("]")[0].removeprefix("[")} · {"mixes labels" if tags.mixes_labels else "labels stay"}
:::
::::
"""


def _normalizers() -> str:
    rows = []
    for name in fm.list_normalizers():
        norm = fm.normalizer(name.replace("<G>", "4").replace("<D>", "4").replace("<axes>", "cw"))
        shape = tuple(norm.moments(torch.zeros(SHAPE)).mean.shape)
        who, _, over = inspect.getdoc(type(norm)).splitlines()[0].partition(": over ")
        rows.append([f"`{name}`", who, over, f"`{shape}`", "yes" if norm.exchangeable else "no"])
    header = ["name", "normalizer", "averaged over", f"moments of a map of shape {SHAPE}", "can be exchanged"]
    return markdown_table(header, rows)
