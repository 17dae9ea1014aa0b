"""The loop of timm's ``train.py`` on digits: its Mixup for odd batches too, and MoEx at the stem of its model by one flag.

The model is made by its name in timm's registry, without weights. The lines that featmix adds to a fork of the script are
marked with ``+``. ``pip install timm`` first; it needs a torchvision that fits your build of torch.

Run: python examples/timm_digits.py
"""

import argparse

import timm
import torch
from sklearn.datasets import load_digits
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.utils import ModelEmaV3
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from featmix.trainers.timm import FeatMix, Mixup, add_arguments  # +


def digits(size: int) -> tuple[Tensor, Tensor]:
    """Images ``(1797, 3, size, size)`` in [0, 1], and labels."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1).expand(-1, 3, -1, -1) / 16
    return F.interpolate(images, size=size, mode="bilinear"), torch.tensor(data.target)


def parsed(*given: str) -> argparse.Namespace:
    """The arguments of timm's script that matter here."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="test_resnet")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--img-size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=33)  # timm's own Mixup refuses odd batches
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--mixup", type=float, default=0.2)
    parser.add_argument("--mixup-off-epoch", type=int, default=0)
    parser.add_argument("--smoothing", type=float, default=0.1)
    add_arguments(parser)  # +
    return parser.parse_args(given)


def main(
    *, epochs: int = 6, limit: int | None = None, flags: tuple[str, ...] = ("--featmix", "moex:lam=0.9,p=0.5")
) -> dict[str, float]:
    """Train, with mixing in all epochs but the last."""
    args = parsed("--epochs", str(epochs), "--mixup-off-epoch", str(epochs - 1), *flags)
    torch.manual_seed(args.seed)
    images, labels = digits(args.img_size)
    loader = DataLoader(
        list(zip(images[:-400], labels[:-400], strict=True))[:limit], args.batch_size, shuffle=True, drop_last=True
    )
    model = timm.create_model(args.model, pretrained=False, num_classes=10)
    optimizer = create_optimizer_v2(model, opt="adamw", lr=3e-3, weight_decay=0.02)
    ema = ModelEmaV3(model, decay=0.9)
    mixup_fn = Mixup(mixup_alpha=args.mixup, label_smoothing=args.smoothing, num_classes=10)  # +, in the place of timm's
    loss_fn = FeatMix(args, model, SoftTargetCrossEntropy(), optimizer)  # +

    mixed = list[bool]()
    for epoch in range(args.epochs):
        loss_fn.set_epoch(epoch)  # +
        if args.mixup_off_epoch and epoch >= args.mixup_off_epoch:
            mixup_fn.mixup_enabled = False
        model.train()
        total = 0.0
        for x, y in loader:
            x, target = mixup_fn(x, y)
            loss = loss_fn(model(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            ema.update(model)
            total += loss.item()
            mixed.append(loss_fn.mixer is not None and bool(loss_fn.mixer.mix.params["stem"].active.any()))
        print(f"epoch {epoch + 1}: loss {total / len(loader):.3f}, MoEx in {sum(mixed[-len(loader) :])} of {len(loader)} steps")

    def accuracy(net: torch.nn.Module) -> float:
        with torch.no_grad():
            return float((net.eval()(images[-400:]).argmax(1) == labels[-400:]).float().mean())

    found = {"accuracy": accuracy(model), "accuracy of the EMA": accuracy(ema.module)}
    print(", ".join(f"{name} {value:.3f}" for name, value in found.items()))
    return {**found, "mixed": sum(mixed), "mixed in the last epoch": sum(mixed[-len(loader) :]), "steps": len(mixed)}


if __name__ == "__main__":
    main()
