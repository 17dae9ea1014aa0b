"""A timm model by stages: MoEx after the ``stem`` and CutMix in ``stage1``, names that mean the same in every architecture.

timm says in ``feature_info`` which modules these are: ``maxpool`` and ``layer1`` in a ResNet, ``stem`` and ``stages.0`` in a
ConvNeXt. No weights are downloaded. ``pip install timm`` first; it needs a torchvision that fits your build of torch.

Run: python examples/timm_stages.py
"""

from functools import partial

import timm
import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F

import featmix as fm
from featmix.mixer.stages import stages

TREE = fm.OneOf([fm.At("stem", fm.MoEx("pono", lam=0.9)), fm.At("stage1", fm.CutMix())])  # each step one of them


def digits() -> tuple[Tensor, Tensor]:
    """Images ``(1797, 3, 8, 8)`` in [0, 1], and labels."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32) / 16
    return images.unsqueeze(1).expand(-1, 3, -1, -1), torch.tensor(data.target)


def step_of(name: str, size: int) -> dict[str, tuple[int, ...]]:
    """One training step of any architecture with the same tree; gives the shape of the features at each site."""
    model = timm.create_model(name, pretrained=False, num_classes=10).train()
    images, labels = torch.rand(2, 3, size, size), torch.tensor([3, 8])
    with fm.attach(model, TREE, example=images, seed=0) as mixer:
        mix = mixer.draw(images, target=labels)
        mix.loss(F.cross_entropy, model(images), labels).backward()
        known = stages(model)
        print(f"{name}: " + ", ".join(f"{site} is {known[site]} {shape}" for site, shape in mixer.shapes.items()))
        return mixer.shapes


def main(
    *, epochs: int = 2, limit: int | None = 1000, size: int = 64, names: tuple[str, ...] = ("resnet10t", "convnext_atto")
) -> dict[str, float]:
    """Train the first architecture, and show that all take the same names."""
    torch.manual_seed(0)
    images, labels = digits()
    train = list(zip(images[:-400], labels[:-400], strict=True))[:limit]
    enlarge = partial(F.interpolate, size=size, mode="bilinear")  # networks for photographs expect some pixels
    net = timm.create_model(names[0], pretrained=False, num_classes=10)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    pipeline = fm.Pipeline(batch=enlarge, mix=TREE, seed=0)
    print(pipeline.summary())

    loader = pipeline.loader(train, batch_size=16, shuffle=True)
    with pipeline.attach(net, example=images[:2]) as mixer:
        for epoch in range(epochs):
            total = 0.0
            for x, y in loader:
                x = mixer.prepare(x)
                mix = mixer.draw(x, target=y)
                loss = mix.loss(F.cross_entropy, net(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item()
            print(f"epoch {epoch + 1}: loss {total / len(loader):.3f}")

    net.eval()
    with torch.no_grad():
        accuracy = float((net(enlarge(images[-400:])).argmax(1) == labels[-400:]).float().mean())
    print(f"{names[0]}: test accuracy {accuracy:.3f}")
    return {"accuracy": accuracy, **{f"stage1 of {name}": step_of(name, size)["stage1"][-1] for name in names}}


if __name__ == "__main__":
    main()
