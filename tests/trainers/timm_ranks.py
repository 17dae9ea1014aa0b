"""What each of two processes does: train under DDP by the lines that a fork of timm's train.py has."""

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from featmix.trainers.timm import FeatMix

STEPS = 3
ARGS = argparse.Namespace(featmix=["moex:lam=0.75"], featmix_site="0", seed=5)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5)).double()


def batch(rank, step):
    generator = torch.Generator().manual_seed(10 * rank + step)
    return torch.randn(6, 3, 6, 6, generator=generator, dtype=torch.float64), torch.arange(6) % 5


def made():
    model = DistributedDataParallel(network())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    return model, optimizer, FeatMix(ARGS, model, nn.CrossEntropyLoss(), optimizer, example=torch.zeros(2, 3, 6, 6).double())


def steps(rank, parts, first, last):
    model, optimizer, loss_fn = parts
    found = []
    for step in range(first, last):
        x, y = batch(rank, step)
        optimizer.zero_grad()
        loss_fn(model(x), y).backward()
        partner = loss_fn.mixer.mix.params["0"].partner
        before = [p.detach().clone() for p in model.parameters()]
        found.append({"partner": partner, "before": before, "gradient": [p.grad.clone() for p in model.parameters()]})
        optimizer.step()
    return found


def train(rank, folder):
    torch.set_num_threads(1)
    folder = Path(folder)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder / 'store'}", rank=rank, world_size=2)
    parts = made()
    found = {"whole": steps(rank, parts, 0, 1)}
    if rank == 0:  # one rank saves, and none waits for it
        torch.save({"model": parts[0].module.state_dict(), "optimizer": parts[1].state_dict()}, folder / "checkpoint.pt")
    found["whole"] += steps(rank, parts, 1, STEPS)
    torch.distributed.barrier()
    again = made()
    saved = torch.load(folder / "checkpoint.pt", weights_only=True)
    again[0].module.load_state_dict(saved["model"])
    again[1].load_state_dict(saved["optimizer"])
    found["resumed"] = steps(rank, again, 1, STEPS)
    torch.save(found, folder / f"rank{rank}.pt")
    torch.distributed.destroy_process_group()
