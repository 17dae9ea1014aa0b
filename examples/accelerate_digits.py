"""A loop of Accelerate with CutMix at the input and MoEx in a hidden layer, and one line more; killed and resumed at the end.

``attach`` takes the model as ``prepare`` returned it, draws for each training forward, and registers the state of every process
with the checkpoints: ``accelerate launch --num_processes 2 examples/accelerate_digits.py`` resumes as exactly.

Run: python examples/accelerate_digits.py
"""

import tempfile

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import featmix as fm
from featmix.trainers.accelerate import attach

TREE = {"input": fm.CutMix(p=0.5), "0": fm.MoEx("pono", lam=0.9, p=0.5)}


def digits() -> TensorDataset:
    """Images ``(1, 8, 8)`` in [0, 1], and labels."""
    data = load_digits()
    return TensorDataset(torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16, torch.tensor(data.target))


def network() -> nn.Sequential:
    """Two convolutions and a linear layer."""
    layers = nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(16 * 64, 10))


def train(
    data: TensorDataset, epochs: int, folder: str, *, first: int = 0, kept: int | None = None
) -> tuple[nn.Module, list[Tensor]]:
    """Train from an epoch on, and save before another; gives the model, and the losses of all steps."""
    set_seed(0)
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    loader = DataLoader(data, batch_size=32, shuffle=True)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    mixer = attach(accelerator, model, TREE, seed=0)
    if first:
        accelerator.load_state(folder)
    losses = []
    for epoch in range(first, epochs):
        if epoch == kept:
            accelerator.save_state(folder)
        loader.set_epoch(epoch)  # of the order of samples
        for images, labels in loader:
            with accelerator.accumulate(model):
                loss = mixer.loss(F.cross_entropy, model(images), labels)  # of the labels that this forward has mixed
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
            losses.append(loss.detach())
        accelerator.print(f"epoch {epoch + 1}: loss {losses[-1]:.3f}")
    mixer.remove()
    return accelerator.unwrap_model(model), losses


def main(*, epochs: int = 8, limit: int | None = None) -> dict[str, float]:
    """Train through, and once more from the last epoch on."""
    data = digits()
    rows = range(len(data) - 400)[:limit]
    with tempfile.TemporaryDirectory() as folder:
        model, through = train(torch.utils.data.Subset(data, rows), epochs, folder, kept=epochs - 1)
        _, resumed = train(torch.utils.data.Subset(data, rows), epochs, folder, first=epochs - 1)
    differs = max(float((a - b).abs()) for a, b in zip(through[-len(resumed) :], resumed, strict=True))
    images, labels = data[-400:]
    with torch.no_grad():
        accuracy = float((model.eval()(images).argmax(1) == labels).float().mean())
    print(f"the resumed run's losses differ by {differs}; test accuracy {accuracy:.3f}")
    return {"accuracy": accuracy, "differs": differs, "resumed steps": float(len(resumed))}


if __name__ == "__main__":
    main()
