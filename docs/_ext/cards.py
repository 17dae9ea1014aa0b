"""Two pictures for each strategy: five digits before, their partners, and what comes out; and a small one for its card.

Strategies that exchange the moments of positions are shown on the features of a trained stem: on pixels, positions have three
values each, and their moments tell little.
"""

from collections import Counter

import torch
from sklearn.datasets import load_digits
from stem import features, telling_channel

import featmix as fm
from featmix.layouts import layout
from featmix.pictures import Row, as_png, draw_rows
from featmix.show.maps import moment_maps

COUNT, SMALL, SIZE, DRAWS = 5, 4, 32, 15


def pages() -> dict[str, bytes]:
    made, (images, labels) = {}, _digits()
    for name in fm.list_strategies():
        strategy = fm.create(name, p=1.0)
        if on_features(strategy):
            x = features(images)
            params, mixed = _typical(strategy, x, labels)
            made[f"cards/{name}.png"] = feature_picture(images, labels, x, mixed, params)
            made[f"cards/{name}-small.png"] = small_feature_picture(x, mixed)
        else:
            params, mixed = _typical(strategy, images, labels)
            made[f"cards/{name}.png"] = picture(images, labels, params, mixed)
            made[f"cards/{name}-small.png"] = small_picture(images, mixed)
    return made


def on_features(strategy: fm.Strategy) -> bool:
    """Whether it exchanges a mean and a deviation for each position."""
    norm = getattr(strategy, "normalizer", None)
    return norm is not None and not norm.over_positions


def feature_picture(
    images: torch.Tensor, labels: torch.Tensor, x: torch.Tensor, mixed: torch.Tensor, params: fm.Params
) -> bytes:
    """A PNG: images, their moment maps, those that they get, and a channel before and after."""
    channel, maps, after = telling_channel(x), moment_maps(x, layout("bchw")), moment_maps(mixed, layout("bchw"))
    rows = [
        Row("image", images, above=[f"label {label}" for label in labels.tolist()]),
        Row("mean map", maps.mean, scale="mean"),
        Row("mean map,\nexchanged", after.mean, scale="mean"),
        Row("one channel", x[:, channel], scale="features"),
        Row("one channel,\nafter", mixed[:, channel], scale="features", below=_titles(params.mixture, labels)),
    ]
    return as_png(draw_rows(rows, subject="cards", extra="compare"))


def small_feature_picture(x: torch.Tensor, mixed: torch.Tensor) -> bytes:
    """A PNG: above a channel of the features, below the same channel of what the strategy made of them."""
    channel = telling_channel(x)
    both = torch.stack([x[:SMALL, channel], mixed[:SMALL, channel]])
    # No bar of colours on so small a picture: grey maps from 0 to 1.
    shown = ((both - both.min()) / (both.quantile(0.99) - both.min())).clamp(0, 1).unsqueeze(2)
    rows = [Row("", list(shown[0])), Row("", list(shown[1]))]
    return as_png(draw_rows(rows, subject="cards", extra="compare", cell=(1, 1)))


def small_picture(images: torch.Tensor, mixed: torch.Tensor) -> bytes:
    """A PNG: above the digits as they came, below what the strategy made of them."""
    return as_png(draw_rows([Row("", images[:SMALL]), Row("", mixed[:SMALL])], subject="cards", extra="compare", cell=(1, 1)))


def picture(images: torch.Tensor, labels: torch.Tensor, params: fm.Params, mixed: torch.Tensor) -> bytes:
    """A PNG: rows before, partner, after; above each column what its label becomes."""
    lam = [] if params.lam is None else [f"λ = {share:.2f}" for share in params.lam.tolist()]
    rows = [
        Row("before", images, above=[f"label {label}" for label in labels.tolist()]),
        Row("partner", images[params.partner]),
        Row("after", mixed, above=_titles(params.mixture, labels), below=lam),
    ]
    return as_png(draw_rows(rows, subject="cards", extra="compare"))


def _digits() -> tuple[torch.Tensor, torch.Tensor]:
    """The first five digits, each in two colours of its own: a style that a strategy can move."""
    data = load_digits()
    ink = torch.nn.functional.interpolate(
        torch.tensor(data.images[:COUNT]).float().unsqueeze(1) / 16, size=SIZE, mode="bilinear"
    )
    front = torch.tensor([[1.0, 0.9, 0.3], [0.9, 0.2, 0.2], [0.8, 1.0, 1.0], [0.1, 0.1, 0.3], [0.2, 0.6, 0.2]])
    back = torch.tensor([[0.1, 0.2, 0.5], [0.9, 0.9, 0.7], [0.5, 0.2, 0.4], [0.6, 0.8, 0.3], [0.1, 0.1, 0.1]])
    front, back = front[:, :, None, None], back[:, :, None, None]
    grain = 0.06 * torch.rand(COUNT, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return (back + ink * (front - back) + grain).clamp(0, 1), torch.tensor(data.target[:COUNT])


def _typical(strategy: fm.Strategy, images: torch.Tensor, labels: torch.Tensor) -> tuple[fm.Params, torch.Tensor]:
    """Of several draws, the one that changes the images by the median amount: neither the luckiest nor the dullest."""
    drawn = []
    for seed in range(DRAWS):
        params = strategy.make_params(images.shape, generator=torch.Generator().manual_seed(seed), target=labels)
        mixed = strategy.transform(images, params)
        drawn.append((float((mixed - images).abs().mean()), seed, params, mixed))
    _, _, params, mixed = sorted(drawn, key=lambda item: item[:2])[DRAWS // 2]
    return params, mixed


def _titles(mixture: fm.Mixture, labels: torch.Tensor) -> list[str]:
    titles = []
    for index, weight in zip(mixture.index.tolist(), mixture.weight.tolist(), strict=True):
        shares: Counter[int] = Counter()
        for row, share in zip(index, weight, strict=True):
            shares[int(labels[row])] += share
        kept = {label: share for label, share in shares.items() if share > 0.005}
        titles.append(" + ".join(f"{share:.2f} · {label}" for label, share in kept.items()))
    return titles
