"""Two pictures for each strategy: five digits before, their partners, and what comes out; and a small one for its card."""

from collections import Counter

import torch
from sklearn.datasets import load_digits

import featmix as fm
from featmix.pictures import Row, as_png, draw_rows

COUNT, SMALL, SIZE, DRAWS = 5, 4, 32, 15


def pages() -> dict[str, bytes]:
    made, (images, labels) = {}, _digits()
    for name in fm.list_strategies():
        params, mixed = _typical(fm.create(name, p=1.0), images, labels)
        made[f"cards/{name}.png"] = picture(images, labels, params, mixed)
        made[f"cards/{name}-small.png"] = small_picture(images, mixed)
    return made


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
