"""What four gloo processes do that are spawned once for all tests of this folder; each leaves what it found in a file."""

import os
import socket
from datetime import timedelta

import torch
from torch import distributed as dist
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import featmix as fm
from benchmarks.collectives import counted
from featmix.across import link, meeting
from featmix.kernels import dispatch
from tests.across.networks import CLASSES, Net, data, gradients, loss_of, of_one_process, part_of

RANKS = 4
CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def spawn(folder):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(process, (port, str(folder)), nprocs=RANKS)


def process(rank, port, folder):
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(RANKS), "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    os.environ["MASTER_PORT"] = str(port)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=RANKS, timeout=timedelta(seconds=120))
    found = {}
    for name, function in CASES.items():
        try:
            found[name] = function(rank) if name != "restarted" else function(rank, folder)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
            raise
    torch.save(found, f"{folder}/found_{rank}.pt")
    dist.destroy_process_group()


def wrapped(model, kind, group=None):
    if kind == "fsdp2":
        from torch.distributed.fsdp import fully_shard

        fully_shard(model.block)
        return fully_shard(model)
    return DistributedDataParallel(model, process_group=group)


def compared(
    tree, rank, *, sizes=(2,) * RANKS, kind="ddp", dtype=torch.float64, steps=1, group=None, first=0, given=None, **settings
):
    """The largest differences from one process: of outputs, of averaged gradients, of soft labels; and where partners were."""
    x, y = data(sum(sizes), dtype)
    given = {} if given is None else given
    own, count = part_of(sizes, rank), len(sizes)
    whole, one = of_one_process(tree(False), x, first)
    model = Net(dtype, **settings)
    called = wrapped(model, kind, group)
    mixer = fm.attach(called, tree(True if group is None else group), example=x[:2], seed=3)
    apart, labels, remote = 0.0, 0.0, False
    for _ in range(steps):
        mix = one.draw(x, target=y, **given)
        expected = whole(x)
        loss_of(mix, expected, y).backward()
        part = mixer.draw(x[own], target=y[own], **{name: value[own] for name, value in given.items()})
        output = called(x[own])
        (loss_of(part, output, y[own]) * (sizes[rank] * count / sum(sizes))).backward()
        if sizes[rank]:
            apart = max(apart, float((output - expected[own]).detach().abs().max()))
            soft = part.dense(y[own], CLASSES) - mix.dense(y, CLASSES)[own]
            labels = max(labels, float(soft.abs().max()))
            remote |= any(bool((p.partner >= sizes[rank]).any()) for p in part.params.values())
    off = float((gradients(model) - gradients(whole)).abs().max())
    return {"outputs": apart, "gradients": off, "labels": labels, "remote": remote}


STRATEGIES = {
    "moex": lambda across: {"stem": fm.MoEx("pono", lam=0.7, across=across)},
    "moex in": lambda across: {"stem": fm.MoEx("in", lam=0.7, across=across)},
    "mixstyle": lambda across: {"stem": fm.MixStyle(p=1.0, across=across)},
    "padain": lambda across: {"stem": fm.PAdaIN(p=1.0, across=across)},
    "crossnorm": lambda across: {"stem": fm.CrossNorm(p=1.0, across=across)},
    "dsu": lambda across: {"stem": fm.DSU(p=1.0, across=across)},
    "csu": lambda across: {"stem": fm.CorrelatedStyleUncertainty(p=1.0, across=across)},
}


@case
def strategies(rank):
    return {
        f"{name} {dtype}": compared(tree, rank, dtype=dtype)
        for name, tree in STRATEGIES.items()
        for dtype in (torch.float32, torch.float64)
    }


@case
def pairs(rank):
    """Two ranks of four, each pair by itself."""
    groups = [dist.new_group([0, 1]), dist.new_group([2, 3])]
    own = {"sizes": (3, 3), "group": groups[rank // 2], "first": rank // 2 * 2}
    return {str(dtype): compared(STRATEGIES["moex"], rank % 2, dtype=dtype, **own) for dtype in (torch.float32, torch.float64)}


@case
def nodes(rank):
    x, y = data(8, torch.float64)
    mixer = fm.attach(Net(torch.float64), {"stem": fm.MoEx(across="node")}, seed=0)
    own = part_of((2,) * RANKS, rank)
    mix = mixer.draw(x[own], target=y[own])
    return mix.params["stem"].link.size, mix.params["stem"].present.shape, mix.params["stem"].link.rank


@case
def meshes(rank):
    from torch.distributed.device_mesh import init_device_mesh

    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("replicate", "shard"))
    found = compared(STRATEGIES["moex"], rank % 2, sizes=(2, 2), group=mesh["shard"].get_group(), first=rank // 2 * 2)
    try:
        fm.MoEx(across=mesh)
    except fm.FeatmixError as error:
        found["refused"] = str(error)
    found["same"] = fm.MoEx(across=mesh["shard"]).across == fm.MoEx(across=mesh["shard"].get_group()).across
    return found


@case
def wrappers(rank):
    tree = STRATEGIES["moex"]
    inside = lambda across: {"block.0": fm.MoEx("in", lam=0.7, across=across)}  # noqa: E731 - within what is checkpointed
    return {
        "fsdp2": compared(tree, rank, kind="fsdp2"),
        "non-reentrant": compared(inside, rank, reentrant=False),
        "reentrant": compared(inside, rank, reentrant=True),
    }


@case
def trees(rank):
    both = {"sizes": (3, 1, 2, 2), "steps": 3}

    def shared(a):
        first, second = fm.MoEx("in", lam=0.7, across=a), fm.MoEx("pono", lam=0.4, across=a)
        return fm.Compose([fm.At("stem", first), fm.At("block", second)], share_partner=True)

    return {
        "two sites": compared(
            lambda a: {"stem": fm.MoEx("in", lam=0.7, across=a), "block": fm.MoEx(lam=0.4, across=a)}, rank, **both
        ),
        "one of two": compared(
            lambda a: fm.OneOf([fm.At("stem", fm.MoEx("in", across=a)), fm.At("block", fm.MixStyle(p=1.0, across=a))]),
            rank,
            **both,
        ),
        "some of two": compared(
            lambda a: fm.SomeOf([fm.At("stem", fm.DSU(across=a)), fm.At("block", fm.MoEx(across=a))], count=1, p=0.9),
            rank,
            **both,
        ),
        "one partner": compared(shared, rank, **both),
        "each row by itself": compared(lambda a: {"stem": fm.MoEx(p=0.3, per="sample", across=a)}, rank, **both),
        "no rows on a rank": compared(STRATEGIES["moex"], rank, sizes=(3, 0, 2, 1)),
        "one row a rank": compared(STRATEGIES["padain"], rank, sizes=(1,) * RANKS),
        "spread over uneven ranks": compared(STRATEGIES["csu"], rank, sizes=(3, 0, 2, 1)),
        "chosen rows": compared(STRATEGIES["moex"], rank, given={"rows": torch.arange(8) % 3 > 0}),
        "domains": compared(
            lambda a: {"stem": fm.MixStyle(p=1.0, partner="crossdomain", across=a)}, rank, given={"domain": torch.arange(8) % 3}
        ),
    }


@case
def bytes_and_calls(rank):
    """What a step sends, counted."""
    x, y = data(8, torch.float32)
    own, found = part_of((2,) * RANKS, rank), {}
    for name in ("moex in", "mixstyle"):
        model = Net(torch.float32)
        mixer = fm.attach(model, STRATEGIES[name](True), seed=3)
        before = meeting.bytes_sent(link.linked("test", True))
        mix = mixer.draw(x[own], target=y[own])
        said = meeting.bytes_sent(link.linked("test", True)) - before
        with counted() as forward:
            loss = mix.loss(F.cross_entropy, model(x[own]), y[own])
        with counted() as backward:
            loss.backward()
        found[name] = {"draw": said, "forward": dict(forward), "backward": dict(backward)}
    return found


@case
def kernels(rank):
    """The fast path that large features take."""
    before, dispatch.SMALLEST = dispatch.SMALLEST, 1
    some = lambda across: {"stem": fm.MoEx("in", lam=0.7, p=0.3, per="sample", across=across)}  # noqa: E731 - on some ranks no row
    trees = {name: STRATEGIES[name] for name in ("moex", "mixstyle", "dsu")} | {"some rows": some}
    found = {name: compared(tree, rank, dtype=torch.float32, steps=3) for name, tree in trees.items()}
    dispatch.SMALLEST = before
    return found


@case
def targets(rank):
    """Soft, multi-label and regression targets, and class indices of another integer dtype."""
    sizes, found = (3, 1, 2, 2), {}
    x, y = data(sum(sizes), torch.float64)
    own = part_of(sizes, rank)
    kinds = {
        "soft": torch.softmax(x.flatten(1)[:, :CLASSES], 1),
        "wide": torch.softmax(x.flatten(1), 1),  # more than the first message has room for
        "many": (x.flatten(1)[:, :CLASSES] > 0).float(),
        "numbers": x.flatten(1)[:, 0].float(),
        "narrow": y.to(torch.int32),
    }
    for name, target in kinds.items():
        one = of_one_process({"stem": fm.MoEx(lam=0.7)}, x)[1]
        mixer = fm.attach(Net(x.dtype), {"stem": fm.MoEx(lam=0.7, across=True)}, seed=3)
        classes = CLASSES if name == "narrow" else None
        expected = one.draw(x, target=target).dense(target, classes)[own]
        got = mixer.draw(x[own], target=target[own]).dense(target[own], classes)
        found[name] = float((got - expected).abs().max()), got.dtype == expected.dtype
    return found


@case
def mixed_before(rank):
    """Labels that each rank mixes by itself, before rows of all ranks take shares of them."""
    sizes, found = (3, 1, 2, 2), []
    x, y = data(sum(sizes), torch.float32)
    own = part_of(sizes, rank)
    published = fm.Compose([fm.At("input", fm.CutMix(p=0.7)), fm.At("stem", fm.MoEx(lam=0.7, across=True))])
    patched = {
        "stem": fm.PatchUp(block_size=3),
        "block": fm.MoEx(lam=0.6, across=True),
        "block.0": fm.MoEx(lam=0.6, across=True),
    }
    in_turn = fm.OneOf(
        [fm.At("stem", fm.MoEx(across=True)), fm.At("block.0", fm.Mixup()), fm.At("block", fm.MoEx(across=True))]
    )
    for tree in (published, patched, in_turn):
        mixer = fm.attach(Net(x.dtype), tree, example=x[:2], seed=3)
        for _ in range(4):
            mix = mixer.draw(x[own], target=y[own])
            mixer.discard()
            apart = torch.zeros(8, 8)
            apart[own, own] = torch.eye(sizes[rank])
            shared = torch.eye(8)
            for key in mixer._order:
                params = mix.params[key]
                if not params.acts():
                    continue
                if params.link is None:
                    apart[own, own] = params.mixture.matrix() @ apart[own, own]
                else:
                    shared = params.whole.matrix() @ shared
            dist.all_reduce(apart)  # a block of each rank
            expected = (shared @ apart @ F.one_hot(y, CLASSES).float())[own]
            found.append(float((mix.dense(y[own], CLASSES) - expected).abs().max()))
    return found


@case
def accumulated(rank):
    """Two batches before one step, the first without communication of gradients."""
    sizes, tree = (2,) * RANKS, STRATEGIES["moex"]
    x, y = data(16, torch.float64)
    whole, one = of_one_process(tree(False), x)
    model = Net(torch.float64)
    called = DistributedDataParallel(model)
    mixer = fm.attach(called, tree(True), seed=3)
    for half in range(2):
        rows = slice(8 * half, 8 * half + 8)
        loss_of(one.draw(x[rows], target=y[rows]), whole(x[rows]), y[rows]).backward()
    with called.no_sync():
        own = part_of(sizes, rank)
        loss_of(mixer.draw(x[own], target=y[own]), called(x[own]), y[own]).backward()
    own = slice(8 + own.start, 8 + own.stop)
    loss_of(mixer.draw(x[own], target=y[own]), called(x[own]), y[own]).backward()
    return float((gradients(model) - gradients(whole)).abs().max())


@case
def alone(rank):
    """A strategy without a model, and a rank that continues from a state."""
    x, y = data(8, torch.float64)
    own = part_of((2,) * RANKS, rank)
    seeded = lambda seed: torch.Generator().manual_seed(seed)  # noqa: E731
    expected, soft = fm.MoEx("in", num_classes=CLASSES)(x, y, generator=seeded(7))
    got, labels = fm.MoEx("in", num_classes=CLASSES, across=True)(x[own], y[own], generator=seeded(7 + rank))
    found = {"apart": float((got - expected[own]).detach().abs().max()), "labels": float((labels - soft[own]).abs().max())}
    first, second = (fm.attach(Net(x.dtype), {"stem": fm.MixStyle(across=True, p=1.0)}, seed=seed) for seed in (3, 4))
    first.draw(x[own])
    first.discard()
    second.load_state_dict(first.state_dict())
    found["resumed"] = torch.equal(*(m.draw(x[own]).params["stem"].lam for m in (first, second)))
    strategy = fm.MoEx("in", across=True)
    params = strategy.make_params(x[own].shape, target=y[own], generator=seeded(7))
    found["made"] = float((strategy.transform(x[own], params) - expected[own]).abs().max())
    return found


@case
def compiled(rank):
    """One graph for mixing and one for not; the first two ranks alone, for compiling takes long."""
    group = dist.new_group([0, 1])
    if rank > 1:
        return None
    from torch._dynamo.testing import CompileCounterWithBackend

    tree = lambda across: {"stem": fm.MoEx("in", lam=0.7, p=0.6, across=across)}  # noqa: E731
    x, y = data(4, torch.float64)
    own, off = part_of((2, 2), rank), []
    counter = CompileCounterWithBackend("aot_eager")
    whole, one = of_one_process(tree(False), x)
    model = Net(torch.float64)
    traced = torch.compile(model, backend=counter, fullgraph=True)
    mixer = fm.attach(traced, tree(group), seed=3)
    for _ in range(5):
        loss_of(one.draw(x, target=y), whole(x), y).backward()
        mix = mixer.draw(x[own], target=y[own])
        loss_of(mix, traced(x[own]), y[own]).backward()
        mean = gradients(model).clone()
        dist.all_reduce(mean, group=group)
        off.append(float((mean / 2 - gradients(whole)).abs().max()))
    return {"off": max(off), "graphs": counter.frame_count}


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
