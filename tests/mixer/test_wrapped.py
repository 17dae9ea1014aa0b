"""Models that are sharded, sent to another process, or whose layers are called one by one."""

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint_sequential

import featmix as fm
from featmix.mixer.sites import find
from tests.attaching import images, labels, moex, net
from tests.interop.real_torchvision import torchvision_or_skip

TREE = {"stem": moex(), "layer1": fm.Mixup()}


def loss(mixer, model, x=None, y=None):
    x, y = images() if x is None else x, labels() if y is None else y
    return mixer.draw(x, target=y).loss(F.cross_entropy, model(x), y)


@pytest.fixture
def alone(tmp_path):
    """A process group of this process alone."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def fsdp(model, **settings):
    from torch.distributed.fsdp import FullyShardedDataParallel

    return FullyShardedDataParallel(model, device_id=torch.device("cpu"), **settings)


def fsdp_of_parts(model):
    from torch.distributed.fsdp.wrap import ModuleWrapPolicy

    return fsdp(model, auto_wrap_policy=ModuleWrapPolicy({nn.Sequential}))


def fully_sharded(model):
    from torch.distributed.fsdp import fully_shard

    fully_shard(model.layer1)
    return fully_shard(model)


SHARDED = {
    "fsdp": fsdp,
    "fsdp of parts": fsdp_of_parts,
    "fully_shard": fully_sharded,
    "compiled fsdp": lambda model: torch.compile(fsdp(model, use_orig_params=True), backend="eager"),
}


@pytest.mark.parametrize("late", [False, True], ids=["sharded, then attached", "attached, then sharded"])
@pytest.mark.parametrize("kind", SHARDED)
def test_a_sharded_model_with_an_example(kind, late, alone):
    plain, model = net(), net()
    reference = fm.attach(plain, TREE, example=images(), seed=0)
    if late:
        mixer = fm.attach(model, TREE, example=images(), seed=0)
    called = SHARDED[kind](model)
    if not late:
        mixer = fm.attach(called, TREE, example=images(), seed=0)
    assert mixer.shapes == reference.shapes
    for _ in range(2):
        found = loss(mixer, called)
        torch.testing.assert_close(found.detach(), loss(reference, plain).detach())
        found.backward()
    mixer.remove()
    assert not any(cls.__dict__.get("_featmix_plain") for module in called.modules() for cls in type(module).__mro__)
    torch.testing.assert_close(called.eval()(images()), plain.eval()(images()))


def test_the_dry_run_compiles_nothing():
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounter()
    model = net()
    compiled = torch.compile(model, backend=counter)
    model.layer1.compile(backend=counter)
    mixer = fm.attach(compiled, TREE, example=images(), seed=0)
    assert counter.frame_count == 0
    assert mixer.shapes == {"stem": (8, 8, 8), "layer1": (8, 8, 8)}


def test_a_site_that_is_compiled_where_it_has_no_length():
    model = net()
    model.stem = torch.compile(model.stem, backend="eager")
    assert find(model, "stem") is find(model, "stem._orig_mod") is model.stem._orig_mod
    model.feature_info = [{"module": "stem", "reduction": 4}]
    assert find(model, "stage1") is model.stem._orig_mod
    reference = net()
    mixers = [fm.attach(m, TREE, example=images(), seed=0) for m in (model, reference)]
    for _ in range(2):
        torch.testing.assert_close(loss(mixers[0], model), loss(mixers[1], reference))


class Trainer(nn.Module):
    """Holds a model and its mixer, as a Lightning module does."""

    def __init__(self, **settings):
        super().__init__()
        self.mixer = None
        self.net = net()
        self.mixer = fm.attach(self.net, {"input": fm.CutMix(), **TREE}, example=images(), **settings)

    def forward(self, steps):
        return torch.stack([loss(self.mixer, self.net).detach() for _ in range(steps)])


def run(trainer):
    torch.set_num_threads(1)
    return trainer(2)


def test_a_mixer_sent_to_another_process_attaches_to_the_model_sent_with_it():
    here, sent = Trainer(seed=0), Trainer(seed=0)
    here(1), sent(1)
    with ProcessPoolExecutor(1, mp_context=torch.multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(run, sent).result()
    torch.testing.assert_close(found, here(2))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda t: pickle.loads(pickle.dumps(t))], ids=["copied", "pickled"])
def test_a_copied_pair_goes_on_alike_and_apart(copied):
    first = Trainer(seed=0)
    first(1)
    second = copied(first)
    third = copied(second)
    assert not any(m._forward_hooks for m in second.modules())
    assert torch.equal(second.net(images()), net()(images()))
    expected = first(2)
    torch.testing.assert_close(second(2), expected)
    torch.testing.assert_close(third(2), expected)
    fourth = copied(first)
    fourth.mixer.remove()
    first.mixer.remove()
    for removed in (fourth, copied(first)):
        with pytest.raises(fm.FeatmixError, match="removed"):
            removed(1)


def test_a_model_that_was_sent_alone_is_said_to_be_a_copy():
    model = net()
    mixer = fm.attach(model, TREE, seed=0)
    other = pickle.loads(pickle.dumps(model))
    with pytest.raises(fm.FeatmixError, match="a copy of it"):
        loss(mixer, other)
    with pytest.raises(fm.FeatmixError, match="a copy of it"):
        mixer.draw(images())


class Chained(nn.Module):
    """Calls the layers of its stages one by one where it checkpoints them, as timm's models do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.layer1 = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Sequential(nn.Tanh(), nn.Conv2d(4, 4, 1)))
        self.head = nn.Linear(4, 5)
        self.feature_info = [{"module": "layer1", "reduction": 4}]
        self.grad_checkpointing = False

    def forward(self, x):
        x = self.stem(x)
        x = checkpoint_sequential(self.layer1, 2, x, use_reentrant=False) if self.grad_checkpointing else self.layer1(x)
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("site", ["stage1", "layer1"])
def test_stages_whose_layers_are_checkpointed_one_by_one(site):
    plain, model = Chained(), Chained()
    model.grad_checkpointing = True
    assert find(plain, site) is plain.layer1
    assert find(model, site) is model.layer1[1][1]
    mixers = [fm.attach(m, {"input": fm.CutMix(), site: moex()}, example=images(), seed=0) for m in (plain, model)]
    for _ in range(2):
        losses = [loss(*pair) for pair in zip(mixers, (plain, model), strict=True)]
        torch.testing.assert_close(*losses)
        grads = [torch.autograd.grad(each, m.stem.weight)[0] for each, m in zip(losses, (plain, model), strict=True)]
        torch.testing.assert_close(*grads)


@pytest.mark.parametrize("name", ["resnet10t", "efficientnet_lite0", "regnetx_002", "convnext_atto"])
def test_stages_of_timm_under_gradient_checkpointing(name):
    torchvision_or_skip()  # timm imports it
    timm = pytest.importorskip("timm")
    x, y = torch.rand(2, 3, 64, 64), torch.tensor([0, 1])
    found = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = timm.create_model(name, num_classes=5, drop_path_rate=0.0, drop_rate=0.0)
        model.set_grad_checkpointing(checkpointing)
        mixer = fm.attach(model, {"stage1": moex(), "stage2": fm.CutMix()}, example=x, seed=0)
        each = loss(mixer, model, x, y)
        each.backward()
        found.append((each.detach(), next(model.parameters()).grad))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
