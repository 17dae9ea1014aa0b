"""What ranks tell each other, and what becomes of those that do not agree, do not come, or are started anew."""

import torch
from torch import distributed as dist

import featmix as fm
from featmix.across import link, meeting
from tests.across.networks import Net, data
from tests.across.ranks import RANKS, case


@case
def refused(rank):
    """Ranks that do not agree are told so, on all of them, and go on afterwards."""
    x, y = data(2, torch.float32)
    found = {}

    def message(name, do):
        try:
            found[name] = do()
        except fm.FeatmixError as error:
            found[name] = str(error)

    one, other = (fm.attach(Net(x.dtype), {"stem": fm.MoEx(lam=lam, across=True)}, seed=0) for lam in (0.7, 0.8))
    message("settings", lambda: (other if rank == 2 else one).draw(x, target=y))
    mixer = fm.attach(Net(x.dtype), {"stem": fm.MoEx(across=True)}, seed=0)
    message("labels", lambda: mixer.draw(x, target=y.float() if rank == 1 else y))
    message("domains", lambda: mixer.draw(x, target=y, domain=y if rank == 3 else None))
    message("no labels", lambda: mixer.draw(x))
    message("partners", lambda: mixer.draw(x, target=y, partner=[1, 0]))
    message("mask", lambda: mixer.draw(x, target=y, mask=torch.ones(2, 6, 6).bool()))
    mixed = fm.attach(Net(x.dtype), {"input": fm.Mixup(memory=4), "stem": fm.MoEx(across=True)}, example=x, seed=0)
    message("mixed before", lambda: mixed.draw(x, target=y))
    if rank == 3:
        mixer.skip()
        found["skipped"] = mixer._switch.next is None
    else:
        mix = mixer.draw(x, target=y)
        found["skipped"] = mixer._switch.next is None and not mix.params["stem"].active.any()
    found["goes on"] = int(mixer.draw(x, target=y).params["stem"].present.sum())
    mixer.discard()
    after = fm.attach(Net(x.dtype), {"stem": fm.MoEx(across=True), "block": fm.Mixup()}, seed=0)
    labels = after.draw(x, target=y).mixture
    found["mixed after"] = float((labels.weight.sum(1) - 1).abs().max()), labels.index.shape[1]
    return found


@case
def waited(rank):
    """The last one: a rank that does not draw is found out, and its group is done with."""
    dist.barrier()
    meeting.PATIENCE = 20.0
    for known in meeting._channels.values():
        known.broken = True  # another one is made, with this patience
    x, y = data(2, torch.float32)
    mixer = fm.attach(Net(x.dtype), {"stem": fm.MoEx(across=True)}, seed=0)
    mixer.draw(x, target=y)
    mixer.discard()
    found = None
    if rank != 2:
        try:
            mixer.draw(x, target=y)
        except fm.FeatmixError as error:
            found = str(error)
    dist.barrier()
    return found


@case
def restarted(rank, folder):
    """Groups made anew in the same processes, as elastic training does: a draw meets in the new one."""
    dist.destroy_process_group()
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=RANKS)
    x, y = data(2, torch.float32)
    mixer = fm.attach(Net(x.dtype), {"stem": fm.MoEx(across=True)}, seed=0)
    found = [mixer.draw(x, target=y).params["stem"].link.size]
    mixer.discard()
    gone = fm.attach(Net(x.dtype), {"stem": fm.MoEx(across=link.Group("gone"))}, seed=0)
    try:
        gone.draw(x, target=y)
    except fm.FeatmixError as error:
        found.append(str(error))
    return found
