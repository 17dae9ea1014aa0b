"""The class of a hooked module: a subclass while it is hooked, the plain one in copies and afterwards."""

import abc
import copy
import gc
import io
import pickle
import subprocess
import sys
import textwrap
import weakref

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

import featmix as fm
from featmix.mixer.hooked import Hook, hooked_class, inert
from tests.attaching import images, moex, net


class Abstract(nn.Module, abc.ABC):
    @abc.abstractmethod
    def forward(self, x): ...


class Registered(Abstract):
    names: list[str] = []  # noqa: RUF012

    def __init_subclass__(cls, **_):
        Registered.names.append(cls.__name__)

    def forward(self, x):
        return x


class Copies(nn.Module):
    """Makes its copies itself, as some models do."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def __deepcopy__(self, memo):
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        for name, value in vars(self).items():
            made.__dict__[name] = copy.deepcopy(value, memo)
        return made

    def forward(self, x):
        return self.layer(x)


class Made(nn.Module):
    """Made by a ``__new__`` of its own, that takes arguments."""

    def __new__(cls, width):
        made = super().__new__(cls)
        made.__dict__["width"] = width
        return made

    def __init__(self, width):
        super().__init__()

    def __getnewargs__(self):
        return (self.width,)

    def forward(self, x):
        return x


LAYERS = {
    "linear": lambda: nn.Linear(8, 8),
    "norm": lambda: nn.LayerNorm(8),
    "sequence": lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU()),
    "abstract base": Registered,
    "copies itself": Copies,
    "new with arguments": lambda: Made(8),
    "lazy": lambda: nn.LazyLinear(8),
}


def hooks_on(module):
    found = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
    return [hook for hook in found if isinstance(hook, Hook) or hook is inert]


def copies(module):
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    yield torch.load(buffer, weights_only=False)
    yield copy.copy(module)
    yield copy.deepcopy(module)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield pickle.loads(pickle.dumps(module, protocol))


def attached(layer, **settings):
    model = nn.Sequential(nn.Linear(8, 8), layer, nn.Linear(8, 3))
    return model, fm.attach(model, {"1": fm.Mixup(**settings)}, seed=0)


@pytest.mark.parametrize("kind", LAYERS)
def test_copies_are_of_the_plain_class_and_carry_no_hooks(kind):
    layer = LAYERS[kind]()
    plain, shown, keys = type(layer), repr(layer), list(layer.state_dict())
    model, mixer = attached(layer)
    assert type(layer) is not plain
    assert isinstance(layer, plain)
    assert type(layer).__name__ == plain.__name__
    assert repr(layer) == shown
    assert list(layer.state_dict()) == keys
    assert Registered.names == []
    for copied in copies(model):
        assert type(copied) is nn.Sequential
        assert not hooks_on(copied)
    for copied in copies(layer):
        assert type(copied) is plain
        assert not hooks_on(copied)
    assert hooks_on(layer)
    mixer.remove()
    assert type(layer) is plain
    assert not hooks_on(layer)
    assert type(model) is nn.Sequential


class Sealed(type(nn.Module)):
    def __new__(cls, name, bases, names):
        if any(isinstance(base, Sealed) for base in bases):
            raise TypeError("nothing is derived from this class")
        return super().__new__(cls, name, bases, names)


class Final(nn.Module, metaclass=Sealed):
    def forward(self, x):
        return x * 2


def test_a_class_that_allows_no_subclass_stays_and_its_copies_never_mix():
    layer, x = Final(), torch.rand(4, 8)
    model, mixer = attached(layer)
    seen = []
    model[2].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    mix = mixer.draw(x)
    model(x)
    assert type(layer) is Final
    assert torch.equal(seen[0], fm.Mixup().transform(layer.forward(model[0](x)), mix.params["1"]))
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(layer))):
        assert not any(isinstance(hook, Hook) for module in copied.modules() for hook in module._forward_hooks.values())
    mixer.remove()
    assert not layer._forward_hooks


def test_other_hooks_go_along():
    layer = nn.Linear(8, 8)
    layer.register_forward_hook(shift, always_call=True)
    _model, mixer = attached(layer)
    layer.register_forward_pre_hook(widen, with_kwargs=True)
    x = torch.rand(2, 8)
    expected = layer(x)
    for copied in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(copied(x), expected)
        assert list(copied._forward_hooks.values()) == [shift]
        assert len(copied._forward_hooks_always_called) == 1
    mixer.remove()
    assert torch.equal(layer(x), expected)


def shift(module, args, output):
    return output + 1


def widen(module, args, kwargs):
    return (args[0] * 2,), kwargs


def test_instances_of_the_class_of_a_hooked_module_are_plain():
    model, mixer = attached(nn.ReLU())
    assert type(model[1:]) is nn.Sequential
    assert not hooks_on(model[1:])
    assert type(type(model[0])(2, 3)) is nn.Linear
    mixer.remove()


def test_modules_of_one_class_share_the_hooked_one_and_it_goes_when_none_is_left():
    model = nn.Sequential(Copies(), Copies(), Copies())
    mixer = fm.attach(model, {"0": fm.Mixup(), "2": fm.Mixup()})
    assert type(model[0]) is type(model[2]) is hooked_class(Copies) is not type(model[1])
    gone = weakref.ref(type(model[0]))
    mixer.remove()
    gc.collect()
    assert gone() is None


def test_an_attached_model_is_freed_without_the_garbage_collector():
    model = net()
    fm.attach(model, {"input": fm.Mixup(), "stem": moex()})
    gone = weakref.ref(model)
    gc.collect()
    gc.disable()
    try:
        del model
        assert gone() is None
    finally:
        gc.enable()


def test_a_lazy_module_that_becomes_another_while_attached():
    layer, x = nn.LazyLinear(8), torch.rand(4, 8)
    model, mixer = attached(layer)
    mix = mixer.draw(x)
    model(x)
    assert isinstance(layer, nn.Linear)
    assert type(layer) is hooked_class(nn.Linear)
    assert bool(mix.params["1"].active.all())
    assert type(copy.deepcopy(layer)) is nn.Linear
    mixer.remove()
    assert type(layer) is nn.Linear


class Twice(nn.Module):
    def forward(self, x):
        return 2 * x


def test_parametrized_before_attaching():
    layer, x = nn.Linear(8, 8), torch.rand(2, 8)
    parametrizations.spectral_norm(layer).eval()
    plain = type(layer)
    _, mixer = attached(layer)
    parametrize.register_parametrization(layer, "bias", Twice())
    expected = layer.eval()(x)
    copied = copy.deepcopy(layer)
    assert torch.equal(copied(x), expected)
    assert not hooks_on(copied)
    mixer.remove()
    assert type(layer) is plain
    assert torch.equal(layer(x), expected)


def test_parametrizations_removed_while_attached():
    layer = nn.Linear(8, 8)
    parametrizations.spectral_norm(layer)
    _, mixer = attached(layer)
    parametrize.remove_parametrizations(layer, "weight")
    mixer.remove()
    assert type(layer) is nn.Linear
    assert not hooks_on(layer)


def test_parametrized_while_attached():
    layer, x = nn.Linear(8, 8), torch.rand(2, 8)
    _, mixer = attached(layer)
    parametrize.register_parametrization(layer, "weight", Twice())
    expected = layer(x)
    assert torch.equal(copy.deepcopy(layer)(x), expected)
    mixer.remove()
    assert torch.equal(layer(x), expected)
    assert type(layer).__mro__[1] is nn.Linear
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear


def test_graph_modules():
    x = torch.rand(2, 8)
    model = torch.fx.symbolic_trace(nn.Sequential(nn.Linear(8, 8), nn.ReLU()))
    plain, expected = type(model), model(x)
    mixer = fm.attach(model, {"0": fm.Mixup()})
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(copied(x), expected)
        assert not hooks_on(copied)
        assert not hooks_on(copied.get_submodule("0"))
    model.recompile()
    assert torch.equal(model(x), expected)
    mixer.remove()
    model.recompile()
    assert type(model) is plain
    assert torch.equal(model(x), expected)


def test_a_copy_of_an_attached_model_can_be_scripted():
    model, x = net(), images()
    with fm.attach(model, {"input": fm.Mixup(), "stem": moex()}):
        average = torch.optim.swa_utils.AveragedModel(model).module
        for copied in (average, pickle.loads(pickle.dumps(model))):
            copied.eval()
            torch.testing.assert_close(torch.jit.trace(copied, x)(x), copied(x))
            layer = torch.jit.script(copied.layer1)
            torch.testing.assert_close(layer(torch.ones(1, 8, 8, 8)), copied.layer1(torch.ones(1, 8, 8, 8)))
    sequence, mixer = attached(nn.Tanh())
    x = torch.rand(2, 8)
    torch.testing.assert_close(torch.jit.script(copy.deepcopy(sequence))(x), sequence(x))
    mixer.remove()


def test_a_saved_model_needs_no_featmix(tmp_path):
    model, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), images()
    mixer = fm.attach(model, {"input": fm.Mixup(), "0": moex(), "1": fm.CutMix()}, example=x)
    mixer.draw(x)
    torch.save(model, tmp_path / "model.pt")
    mixer.discard()
    torch.save((x, model.eval()(x)), tmp_path / "expected.pt")
    program = """
        import sys
        sys.modules["featmix"] = None
        import torch
        model = torch.load("model.pt", weights_only=False)
        x, expected = torch.load("expected.pt")
        assert torch.equal(model.eval()(x), expected)
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=tmp_path, check=True)
