"""The stock Hugging Face ``Trainer`` with CutMix at the input of a ViT and MoEx on its tokens: one line, and two arguments.

The callback attaches when training begins, draws for each training forward, keeps its state in the checkpoints, and takes
everything off at the end. ``Trainer`` is not subclassed. The model is made from a configuration: nothing is downloaded.

Run: python examples/transformers_digits.py
"""

import os
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported

import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional as F
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

import featmix as fm
from featmix.trainers.transformers import FeatMixCallback


def digits() -> list[dict[str, Tensor]]:
    """Rows with images ``(1, 16, 16)`` in [0, 1], and labels, by the names that the model has for them."""
    data = load_digits()
    images = F.interpolate(torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16, size=16, mode="bilinear")
    return [{"pixel_values": x, "labels": y} for x, y in zip(images, torch.tensor(data.target), strict=True)]


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


def accuracy(prediction: tuple[Tensor, Tensor]) -> dict[str, float]:
    """The share of images whose class has the largest score."""
    scores, labels = prediction
    return {"accuracy": float((scores.argmax(1) == labels).mean())}


def main(*, epochs: int = 10, limit: int | None = None) -> dict[str, float]:
    """Train, and evaluate: of the model's own loss then, on labels that are not mixed."""
    torch.manual_seed(0)
    rows = digits()
    model = network()

    mixing = FeatMixCallback({"input": fm.CutMix(p=0.5), "vit.layers.0": fm.MoEx("pono", lam=0.9, p=0.5)})
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model,
            TrainingArguments(
                folder,
                num_train_epochs=epochs,
                per_device_train_batch_size=16,
                gradient_accumulation_steps=2,  # the mean is over both parts, whose decisions are their own
                learning_rate=2e-3,
                lr_scheduler_type="constant",
                save_strategy="no",
                logging_strategy="epoch",
                report_to="none",
                disable_tqdm=True,
                use_cpu=True,
            ),
            train_dataset=rows[:-400][:limit],
            eval_dataset=rows[-400:],
            compute_metrics=accuracy,
            callbacks=[mixing],
            compute_loss_func=mixing.loss,
        )
        trained = trainer.train()
        found = trainer.evaluate()
    print(f"test accuracy {found['eval_accuracy']:.3f}")
    return {"accuracy": found["eval_accuracy"], "loss": found["eval_loss"], "steps": float(trained.global_step)}


if __name__ == "__main__":
    main()
