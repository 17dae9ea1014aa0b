"""Modules as people write them for Lightning, trainers that write nothing, and the loop by hand."""

from __future__ import annotations

import logging
import warnings

import lightning.pytorch as pl
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import featmix as fm
from tests.attaching import moex, net

for name in ("lightning.pytorch", "lightning.fabric"):
    logging.getLogger(name).setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="lightning")

BATCH, ROWS = 6, 24


def tree(**settings):
    return {"input": fm.CutMix(), "model.stem": moex(**settings), "model.layer1": fm.Mixup()}


def plain_tree():
    return {site.removeprefix("model."): strategy for site, strategy in tree().items()}


def loader(rows=ROWS):
    generator = torch.Generator().manual_seed(1)
    return DataLoader(TensorDataset(torch.randn(rows, 3, 8, 8, generator=generator), torch.arange(rows) % 5), batch_size=BATCH)


class Lit(pl.LightningModule):
    """Calls its network, and its loss module."""

    def __init__(self):
        super().__init__()
        self.model, self.criterion, self.seen, self.checked = net(), nn.CrossEntropyLoss(), [], []

    def output(self, x):
        return self.model(x)

    def loss(self, output, y):
        return self.criterion(output, y)

    def training_step(self, batch, batch_idx):
        output = self.output(batch[0])
        loss = self.loss(output, batch[1])
        self.log("accuracy", (output.argmax(1) == batch[1]).float().mean())
        self.seen.append(loss.detach().clone())
        return loss

    def validation_step(self, batch, batch_idx):
        output = self.output(batch[0])
        self.checked.append((self.loss(output, batch[1]), F.cross_entropy(output, batch[1])))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.05)


def trainer(*callbacks, epochs=2, **settings):
    usual = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    return pl.Trainer(max_epochs=epochs, callbacks=list(callbacks), **{**usual, **settings})


def by_hand(*, epochs=2, accumulate=1, loss=F.cross_entropy, autocast=False, rows=ROWS, seed=3, strategies=None):
    """Losses of each step, and the weights that come out."""
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    seen, batches = [], loader(rows)
    mixer = fm.attach(model, strategies or plain_tree(), seed=seed, example=next(iter(batches))[0])
    for _ in range(epochs):
        for k, (x, y) in enumerate(batches):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
                total = mixer.draw(x).loss(loss, model(x), y)
            seen.append(total.detach())
            (total / accumulate).backward()
            if (k + 1) % accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
    return seen, model.state_dict()


def same(lit, expected):
    """Losses and weights are those of the loop by hand, bit for bit."""
    seen, weights = expected
    assert torch.equal(torch.stack(lit.seen), torch.stack(seen))
    assert all(torch.equal(value, weights[name]) for name, value in lit.model.state_dict().items())
