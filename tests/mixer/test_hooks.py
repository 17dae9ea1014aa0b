"""What a hooked layer returns, and copies of hooked models."""

import copy
import dataclasses
import gc
import io
import weakref
from collections import OrderedDict, namedtuple
from types import MappingProxyType, SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from featmix.mixer.containers import tensors
from tests.attaching import images, labels, moex, net, seen_by

Pair = namedtuple("Pair", "features state")


@dataclasses.dataclass
class Output:
    features: torch.Tensor
    state: str


class ModelOutput(OrderedDict):
    """As transformers have it: a dict whose entries are attributes too."""

    def __getattr__(self, name):
        return self[name]


@dataclasses.dataclass(frozen=True)
class Computed:
    """A data class that makes a field itself."""

    features: torch.Tensor
    norm: torch.Tensor = dataclasses.field(init=False)

    def __post_init__(self):
        object.__setattr__(self, "norm", torch.zeros(1))


FORMS = {
    "tuple": lambda x: (x, "state"),
    "list": lambda x: [x, "state"],
    "namedtuple": lambda x: Pair(x, "state"),
    "dict": lambda x: {"state": "state", "features": x},
    "model output": lambda x: ModelOutput(state="state", features=x),
    "dataclass": lambda x: Output(x, "state"),
    "frozen dataclass": Computed,
    "namespace": lambda x: SimpleNamespace(state="state", features=x),
    "mapping proxy": lambda x: MappingProxyType({"state": "state", "features": x}),
    "nested": lambda x: ("state", {"features": (x, None)}),
}


class Wrapped(nn.Module):
    """A layer that returns its features in some container."""

    def __init__(self, form):
        super().__init__()
        self.inner = nn.Module()
        self.inner.forward = FORMS[form]
        self.given = None

    def forward(self, x):
        self.given = self.inner(x)
        return x


@pytest.mark.parametrize("form", FORMS)
def test_outputs_keep_their_container(form):
    model, x = Wrapped(form), images()
    with fm.attach(model, {"inner": moex(norm="in")}, seed=0) as mixer:
        mix = mixer.draw(x)
        model(x)
    expected = FORMS[form](moex(norm="in").transform(x, mix.params["inner"]))
    assert type(model.given) is type(expected)
    assert all(map(torch.equal, tensors(model.given), tensors(expected)))
    assert repr(model.given) == repr(expected)


def test_a_layer_without_tensors_is_refused():
    model = Wrapped("tuple")
    model.inner.forward = lambda x: "text"
    with fm.attach(model, {"inner": moex()}) as mixer:
        mixer.draw(images())
        with pytest.raises(fm.FeatmixError, match="returns a tensor"):
            model(images())


@pytest.mark.parametrize("armed", [False, True])
def test_copies_and_saved_models_never_mix(armed):
    model, x = net(), images()
    plain = net()
    mixer = fm.attach(model, {"input": fm.Mixup(), "stem": moex()})
    if armed:
        mixer.draw(x)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    expected = plain(x)
    for other in (copy.deepcopy(model), torch.load(buffer, weights_only=False)):
        assert torch.equal(other(x), expected)


def test_averaged_model_never_mixes():
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()})
    average = torch.optim.swa_utils.AveragedModel(model)
    mixer.draw(x)
    model(x)
    average.update_parameters(model)
    torch.optim.swa_utils.update_bn([x, x], average)
    assert torch.equal(average.eval()(x), average.module(x))


def test_batch_norm_recalibration_sees_clean_features():
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex()})
    mixer.draw(x)
    model(x)
    seen = seen_by(model.layer1)
    torch.optim.swa_utils.update_bn([x], model)
    assert torch.equal(seen[0], F.relu(model.stem(x)))


def test_half_precision_under_autocast():
    model, x = net(), images()
    mixer = fm.attach(model, {"stem": moex(), "input": fm.Mixup()})
    seen = seen_by(model.layer1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mix = mixer.draw(x)
        output = model(x)
    assert seen[0].dtype == torch.bfloat16
    mix.loss(F.cross_entropy, output.float(), labels()).backward()


def test_a_removed_mixer_is_collected():
    model = net()
    mixer = fm.attach(model, {"stem": moex()})
    model(images()).sum().backward()
    switch = weakref.ref(mixer._switch)
    mixer.remove()
    del mixer
    gc.collect()
    assert switch() is None
