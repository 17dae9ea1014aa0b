"""What each of two processes runs: the loop by hand, the same under Lightning, and a run that is killed and resumed."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Subset

import featmix as fm
from featmix.mixer import gathering
from featmix.trainers.lightning import FeatMix
from tests.attaching import images, labels, moex, net
from tests.trainers.lit import Lit, loader, plain_tree, trainer, tree

ROWS = 48  # four batches an epoch for each of two ranks


class Selfish(Lit):
    """Calls itself, which a data-parallel wrapper does too."""

    def forward(self, x):
        return self.model(x)

    def output(self, x):
        return self(x)


class Decisions(Callback):
    """Keeps who was whose partner."""

    def __init__(self, mixing, until=None):
        self.mixing, self.until, self.partners = mixing, until, []

    def on_train_batch_end(self, trainer, *_):
        mix = self.mixing.mixer.mix
        self.partners.append(torch.stack([mix.params[key].partner for key in sorted(mix.params)]))
        if self.until == len(self.partners):
            raise KeyError("killed")


def own_loader(rank):
    return DataLoader(Subset(loader(ROWS).dataset, range(rank, ROWS, 2)), batch_size=6)


def fit(lit, folder=None, *, until=None, resume=None):
    mixing = FeatMix(tree(), seed=3)
    decisions = Decisions(mixing, until)
    saving = [ModelCheckpoint(folder, "{step}", every_n_train_steps=2, save_top_k=-1)] if folder else []
    settings = {"strategy": "ddp", "devices": 2, "enable_checkpointing": bool(folder), "use_distributed_sampler": False}
    try:
        trainer(mixing, decisions, *saving, **settings).fit(lit, own_loader(int(os.environ["RANK"])), ckpt_path=resume)
    except KeyError:
        assert until
    return torch.stack(decisions.partners)


def worker(rank, folder, port):
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", NODE_RANK="0")
    os.environ["MASTER_PORT"] = str(port)
    warnings.simplefilter("ignore")
    whole, calling = Lit(), Selfish()
    partners = fit(whole, f"{folder}/whole")
    assert torch.equal(fit(calling), partners)
    by_hand = trained_by_hand(rank)
    for lit in (whole, calling):
        assert torch.equal(torch.stack(lit.seen), torch.stack(by_hand[0]))
        assert all(torch.equal(value, by_hand[1][name]) for name, value in lit.model.state_dict().items())
    states = [None, None]
    dist.all_gather_object(states, partners)
    assert not torch.equal(*states)  # each rank draws its own
    a_killed_run_resumed(folder, whole, partners)
    the_state_of_all(rank, Path(folder))
    dist.destroy_process_group()


def trained_by_hand(rank):
    model = net()
    called = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    batches = list(own_loader(rank))
    mixer = fm.attach(called, plain_tree(), seed=3, example=batches[0][0])
    seen = []
    for x, y in batches * 2:
        loss = mixer.draw(x).loss(F.cross_entropy, called(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(loss.detach())
    return seen, model.state_dict()


def a_killed_run_resumed(folder, whole, partners):
    killed, resumed, late = Lit(), Lit(), Lit()
    assert torch.equal(fit(killed, f"{folder}/killed", until=3), partners[:3])
    assert "training_step" not in vars(killed)
    rest = fit(resumed, resume=f"{folder}/killed/step=2.ckpt")  # in the midst of an epoch
    assert torch.equal(rest, partners[2:])
    assert torch.equal(fit(late, resume=f"{folder}/whole/step=4.ckpt"), partners[4:])
    assert all(torch.equal(value, whole.state_dict()[name]) for name, value in late.state_dict().items())
    checkpoint = torch.load(f"{folder}/whole/step=4.ckpt", weights_only=True)
    saved = checkpoint["callbacks"]["FeatMix"]["mixer"]["ranks"]
    assert [one["rank"] for one in saved] == [0, 1]
    assert list(checkpoint["state_dict"]) == list(Lit().state_dict())


def the_state_of_all(rank, folder):
    """Without a trainer: gathered, the same everywhere, and each rank's own again; one that comes alone is told so."""
    model = net()
    strategies = {"stem": moex(memory=8)}
    mixer = fm.attach(model, strategies, seed=5 + rank, example=images())
    draw(mixer, model, rank)
    state = mixer.state_dict()
    torch.save(state, folder / f"{rank}.pt")
    dist.barrier()
    states = [torch.load(folder / f"{k}.pt", weights_only=True) for k in range(2)]
    assert str(states[0]) == str(states[1])
    own = mixer.state_dict(gather=False)
    assert own["rank"] == rank
    assert str(own) == str(state["ranks"][rank])
    rest = [draw(mixer, model, rank + k) for k in range(3)]
    again = net()
    other = fm.attach(again, {"stem": moex(memory=8)}, seed=99, example=images())
    again.load_state_dict(net().state_dict())
    other.load_state_dict(states[1 - rank])
    assert all(map(torch.equal, rest, [draw(other, again, rank + k) for k in range(3)]))
    gathering.PATIENCE = 0.2
    if rank == 0:
        with pytest.raises(fm.FeatmixError, match="gather=False"):
            mixer.state_dict()
    dist.barrier()
    gathering.PATIENCE = 60.0
    assert len(mixer.state_dict()["ranks"]) == 2


def draw(mixer, model, k):
    mix = mixer.draw(images() + k, target=labels())
    model(images() + k)
    return torch.cat([mix.params["stem"].partner, mix.params["stem"].remembered, mix.params["stem"].mean.flatten()])
