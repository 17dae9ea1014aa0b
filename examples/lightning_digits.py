"""Lightning: CutMix at the input and MoEx in a hidden layer of a LightningModule that knows nothing of it, by one callback.

``pip install ".[lightning]"`` first, in a clone of the repository. The module logs the accuracy on hard labels in its training
step, as before.

Run: python examples/lightning_digits.py
"""

import lightning as L
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import featmix as fm
from featmix.trainers.lightning import FeatMix


def digits() -> tuple[Tensor, Tensor]:
    """Images ``(1797, 1, 8, 8)`` in [0, 1], and labels."""
    data = load_digits()
    return torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16, torch.tensor(data.target)


class Classifier(L.LightningModule):
    """A small network, its loss and its optimizer: nothing in it is of featmix."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()),
            nn.Sequential(nn.Conv2d(16, 32, 3, padding=1, stride=2), nn.BatchNorm2d(32), nn.ReLU()),
            nn.Flatten(),
            nn.Linear(32 * 16, 10),
        )
        self.losses: list[float] = []

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """The loss of a batch; the mixed loss where the callback is in use."""
        images, labels = batch
        output = self.model(images)
        loss = F.cross_entropy(output, labels)
        self.log("train_accuracy", (output.argmax(1) == labels).float().mean())
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """Accuracy on what was not trained on, never mixed."""
        images, labels = batch
        self.log("accuracy", (self.model(images).argmax(1) == labels).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


def main(*, epochs: int = 8, limit: int | None = None, mixed: bool = True) -> dict[str, float]:
    """Train, with the callback or without."""
    torch.manual_seed(0)
    images, labels = digits()
    train = TensorDataset(images[:-400][:limit], labels[:-400][:limit])
    loaders = DataLoader(train, batch_size=64, shuffle=True), DataLoader(TensorDataset(images[-400:], labels[-400:]), 400)

    mixing = FeatMix({"input": fm.CutMix(p=0.5), "model.0": fm.MoEx("pono", lam=0.9)}, criterion=F.cross_entropy)
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[mixing] if mixed else [],  # the one line
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    classifier = Classifier()
    trainer.fit(classifier, *loaders)
    accuracy = float(trainer.callback_metrics["accuracy"])
    print(f"test accuracy {accuracy:.3f}, last loss {classifier.losses[-1]:.3f}")
    return {"accuracy": accuracy, "first_loss": classifier.losses[0], "last_loss": classifier.losses[-1]}


if __name__ == "__main__":
    main()
