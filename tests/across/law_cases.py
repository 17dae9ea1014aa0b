"""Many ranks and one process: the same outputs, gradients and labels."""

import torch
from torch import distributed as dist
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import featmix as fm
from benchmarks.collectives import counted
from featmix.across import link, meeting
from featmix.kernels import dispatch
from tests.across.networks import CLASSES, Net, data, gradients, loss_of, of_one_process, part_of
from tests.across.ranks import RANKS, STRATEGIES, case, compared


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
    own, found = part_of((2, 2), rank), {}
    for kind in ("alone", "within DDP", "around DDP"):
        counter = CompileCounterWithBackend("aot_eager")
        whole, one = of_one_process(tree(False), x)
        model, off = Net(torch.float64), []
        if kind == "around DDP":
            called = torch.compile(DistributedDataParallel(model, process_group=group), backend=counter)
        else:
            traced = torch.compile(model, backend=counter, fullgraph=True)
            called = traced if kind == "alone" else DistributedDataParallel(traced, process_group=group)
        mixer = fm.attach(called, tree(group), seed=3)
        for _ in range(5):
            loss_of(one.draw(x, target=y), whole(x), y).backward()
            mix = mixer.draw(x[own], target=y[own])
            loss_of(mix, called(x[own]), y[own]).backward()
            mean = gradients(model).clone()
            if kind == "alone":
                dist.all_reduce(mean, group=group)
                mean /= 2
            off.append(float((mean - gradients(whole)).abs().max()))
        found[kind] = {"off": max(off), "graphs": counter.frame_count}
    return found
