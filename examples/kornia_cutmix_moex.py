"""Exact labels: kornia on the batch, CutMix at the input and MoEx in ``layer1``, with shares that are checked at each step.

The labels of both compose: MoEx gives a row a share of a partner that CutMix has cut already. What a row then holds is
measured, compared with the label, and the loss with cross entropy for these soft labels.

Run: python examples/kornia_cutmix_moex.py
"""

from collections import OrderedDict

import kornia.augmentation as K
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

import featmix as fm

CUTMIX, MOEX = fm.CutMix(p=0.8), fm.MoEx("pono", lam=0.7)


def digits() -> tuple[Tensor, Tensor]:
    """Images ``(1797, 1, 16, 16)`` in [0, 1], and labels."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    return F.interpolate(images, size=16, mode="bilinear"), torch.tensor(data.target)


def network() -> nn.Module:
    """A stem, two layers and a head."""

    def layer(inside: int, outside: int, stride: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inside, outside, 3, stride, padding=1), nn.BatchNorm2d(outside), nn.ReLU())

    head = nn.Sequential(nn.Flatten(), nn.Linear(64 * 16, 10))
    return nn.Sequential(OrderedDict(stem=layer(1, 16, 1), layer1=layer(16, 32, 2), layer2=layer(32, 64, 2), head=head))


def content(mix: fm.Mix, shape: torch.Size) -> Tensor:
    """The share of each sample in each row ``(B, B)``, measured and not looked up in the label.

    CutMix: each sample is white in a channel of its own, and pixels are counted. MoEx: the decision says who gives moments.
    """
    batch, _, height, width = shape
    marked = torch.eye(batch).view(batch, batch, 1, 1).expand(-1, -1, height, width)
    cut = CUTMIX.transform(marked, mix.params["input"]).mean((2, 3))
    moments = mix.params["layer1"]
    mixed = MOEX.lam * cut + (1 - MOEX.lam) * cut[moments.partner]
    return torch.where(moments.active.unsqueeze(1), mixed, cut)


def main(*, epochs: int = 8, limit: int | None = None) -> dict[str, float]:
    """Train, and compare labels with content at each step."""
    torch.manual_seed(0)
    images, labels = digits()
    train = list(zip(images[:-400], labels[:-400], strict=True))[:limit]
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    pipeline = fm.Pipeline(
        batch=K.AugmentationSequential(K.RandomAffine(10.0, translate=(0.1, 0.1)), K.RandomGaussianNoise(std=0.05)),
        mix={"input": CUTMIX, "layer1": MOEX},
        seed=0,
    )
    print(pipeline.summary())

    label_gap = loss_gap = 0.0
    loader = pipeline.loader(train, batch_size=64, shuffle=True)
    with pipeline.attach(model) as mixer:
        for epoch in range(epochs):
            total = 0.0
            for x, y in loader:
                x = mixer.prepare(x)
                mix = mixer.draw(x, target=y)
                output = model(x)
                loss = mix.loss(F.cross_entropy, output, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item()

                held = content(mix, x.shape)
                soft = held @ F.one_hot(y, 10).float()
                expected = F.cross_entropy(output, soft)
                torch.testing.assert_close(mix.mixture.matrix(), held)
                torch.testing.assert_close(mix.dense(y, num_classes=10), soft)
                torch.testing.assert_close(loss, expected)
                label_gap = max(label_gap, (mix.mixture.matrix() - held).abs().max().item())
                loss_gap = max(loss_gap, (loss - expected).abs().item())
            print(f"epoch {epoch + 1}: loss {total / len(loader):.3f}")

    for row, shares in enumerate(held[:5]):
        told = " + ".join(f"{shares[i]:.3f} of sample {i}, a {y[i]}" for i in shares.nonzero().flatten())
        print(f"row {row} of the last batch: {told}")
    print(f"largest differences: {label_gap:.1e} between labels and content, {loss_gap:.1e} between the losses")

    model.eval()
    with torch.no_grad():
        accuracy = float((model(images[-400:]).argmax(1) == labels[-400:]).float().mean())
    print(f"test accuracy {accuracy:.3f}")
    return {"accuracy": accuracy, "label_gap": label_gap, "loss_gap": loss_gap}


if __name__ == "__main__":
    main()
