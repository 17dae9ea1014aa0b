"""A Hugging Face ViT made from a configuration: Mixup at the input, MoEx on the tokens of a block, class token left alone.

Images go in by keyword and a ``ModelOutput`` comes out. Nothing is downloaded.

Run: python examples/huggingface_vit.py
"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ViTConfig, ViTForImageClassification

import featmix as fm

SITE, NEXT = "vit.layers.0", "vit.layers.1"


def digits() -> tuple[Tensor, Tensor]:
    """Images ``(1797, 1, 16, 16)`` in [0, 1], and labels."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    return F.interpolate(images, size=16, mode="bilinear"), torch.tensor(data.target)


def network() -> ViTForImageClassification:
    """16 tokens of 64 numbers, and the class token before them."""
    return ViTForImageClassification(
        ViTConfig(
            image_size=16,
            patch_size=4,
            num_channels=1,
            hidden_size=64,
            num_hidden_layers=3,
            num_attention_heads=4,
            intermediate_size=128,
            num_labels=10,
        )
    )


def watch(model: nn.Module) -> dict[str, Tensor]:
    """The block's tokens in the last forward: as the block made them, and as the next one got them."""
    seen: dict[str, Tensor] = {}

    def made(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen["made"] = output.detach()

    def got(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen["got"] = inputs[0].detach()

    model.get_submodule(SITE).register_forward_hook(made)  # before the mixer's own, so that it is called before
    model.get_submodule(NEXT).register_forward_pre_hook(got)
    return seen


def main(*, epochs: int = 15, limit: int | None = None) -> dict[str, float]:
    """Train, and look at which tokens are mixed."""
    torch.manual_seed(0)
    images, labels = digits()
    train = list(zip(images[:-400], labels[:-400], strict=True))[:limit]
    model = network().train()
    seen = watch(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    pipeline = fm.Pipeline(
        mix={"input": fm.Mixup(alpha=0.2, p=0.5), SITE: fm.MoEx("pono", layout="bnc", num_prefix_tokens=1, lam=0.9, p=0.5)},
        seed=0,
    )
    print(pipeline.summary())

    loader = pipeline.loader(train, batch_size=64, shuffle=True)
    class_token_changed = patches_changed = moved = 0.0
    with pipeline.attach(model) as mixer:
        for epoch in range(epochs):
            total = 0.0
            for x, y in loader:
                mix = mixer.draw(x, target=y)
                loss = mix.loss(F.cross_entropy, model(pixel_values=x).logits, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item()

                change = (seen["got"] - seen["made"]).abs().amax((0, 2))  # of each token
                class_token_changed = max(class_token_changed, change[0].item())
                moved += float(mix.params[SITE].active.any())
                patches_changed += float((change[1:] > 0).all())
            print(f"epoch {epoch + 1}: loss {total / len(loader):.3f}")
    print(f"MoEx was drawn in {moved:.0f} of {epochs * len(loader)} steps, and changed all patches in {patches_changed:.0f}")
    print(f"the largest change of the class token: {class_token_changed}")

    model.eval()
    with torch.no_grad():
        accuracy = float((model(pixel_values=images[-400:]).logits.argmax(1) == labels[-400:]).float().mean())
    print(f"test accuracy {accuracy:.3f}")
    return {
        "accuracy": accuracy,
        "class_token_changed": class_token_changed,
        "steps_with_moex": moved,
        "steps_with_patches_changed": patches_changed,
        "steps": float(epochs * len(loader)),
    }


if __name__ == "__main__":
    main()
