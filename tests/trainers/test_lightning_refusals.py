"""What would train wrongly, or not be mixed, is refused in words that say what to do; the module is then what it was."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from featmix.trainers.lightning import FeatMix
from tests.attaching import moex, net
from tests.trainers.lit import Lit, loader, trainer, tree

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore:.*LeafSpec:FutureWarning")


class Renamed(Lit):
    def __init__(self):
        super().__init__()
        self.loss_fn = self.criterion
        del self.criterion

    def loss(self, output, y):
        return self.loss_fn(output, y)


class Aside(Lit):
    """Its criterion is not what it trains on."""

    def loss(self, output, y):
        return F.cross_entropy(output, y)


class Looking(Lit):
    """Looks at its criterion, and trains on something else."""

    grad = True

    def loss(self, output, y):
        with torch.set_grad_enabled(self.grad):
            self.log("loss", self.criterion(output, y))
        return F.cross_entropy(output, y)


class LookingAside(Looking):
    grad = False


class Parts(Lit):
    """Calls the parts of its network one by one."""

    def output(self, x):
        m = self.model
        return m.head(m.relu(m.layer1(m.relu(m.stem(x)))).mean((2, 3)))


class Other(Lit):
    """Calls its criterion with more than the model's output."""

    def __init__(self):
        super().__init__()
        self.other = nn.Linear(192, 5)

    def training_step(self, batch, batch_idx):
        return super().training_step(batch, batch_idx) + self.criterion(self.other(batch[0].flatten(1)), batch[1])


class Twice(Lit):
    """Averages two views, each with a decision of its own."""

    def output(self, x):
        return (self.model(x) + self.model(x)) / 2


class Weighted(Lit):
    """Weighs its samples outside the criterion's sight."""

    def __init__(self):
        super().__init__()
        del self.criterion
        self.criterion = lambda output, y, share: (F.cross_entropy(output, y, reduction="none") * share).mean()

    def loss(self, output, y):
        return self.criterion(output, y, share=torch.rand(len(y)))


class Resting(Lit):
    """Its network is in eval mode."""

    def output(self, x):
        return self.model.eval()(x)


REFUSED = {
    "no such site": (Lit, {"model.layr1": moex()}, {}, "Did you mean 'model.layer1'"),
    "no such criterion": (Renamed, None, {}, "It has loss_fn: criterion='loss_fn'"),
    "a criterion of something else": (Lit, None, {"criterion": nn.MSELoss()}, "a MSELoss that it does not have"),
    "a criterion that is not called": (Aside, None, {}, "got none for 1 of 1: labels would stay as they are"),
    "a criterion for a number to look at": (LookingAside, None, {}, "got none for 1 of 1: labels would stay as they are"),
    "a criterion that is not trained on": (Looking, None, {}, "what is trained on to be what self.criterion returned"),
    "a function that is not called": (Lit, None, {"criterion": F.nll_loss}, "a call of nll_loss with the output"),
    "no model that is called": (Parts, None, {}, "one module that holds 'model.stem', 'model.layer1'"),
    "another output": (Other, None, {}, "Give losses of other outputs a name of their own"),
    "two decisions": (Twice, None, {}, "one of 2 forwards that had different ones"),
    "weights of samples": (Weighted, None, {}, "share= with a row for each sample"),
    "eval mode": (Resting, None, {}, "in training mode and with gradient"),
    "no such model": (Lit, None, {"model": "modl"}, "Did you mean 'model'"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made, sites, settings, said = REFUSED[kind]
    lit = made()
    with pytest.raises(fm.FeatmixError, match=said.replace("(", r"\(")):
        trainer(FeatMix(sites or tree(), **settings)).fit(lit, loader())
    assert "training_step" not in vars(lit)
    assert type(lit.model) is type(net())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in lit.modules())
    assert "forward" not in {name for part in lit.modules() for name in vars(part)}


def test_what_is_no_criterion():
    for criterion in (3, "", [None]):
        with pytest.raises(fm.FeatmixError, match="names of attributes that hold a loss"):
            FeatMix(tree(), criterion)


def test_which_model_is_meant_can_be_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    class Two(Lit):
        """Has a projector before its network, with weights."""

        def __init__(self):
            super().__init__()
            self.before = nn.Conv2d(3, 3, 1)

        def output(self, x):
            return self.model(self.before(x))

    for settings in ({}, {"model": "model"}):
        lit = Two()
        mixing = FeatMix({"input": fm.CutMix()}, seed=3, **settings)
        trainer(mixing, epochs=1).fit(lit, loader(12))
        assert mixing.mixer._root is (lit.model if settings else lit.before)
    lit = Two()
    trainer(FeatMix({"stem": moex()}, model="model"), epochs=1).fit(lit, loader(12))
    lit.module = lit.model  # a name that wrappers have
    del lit.model
    lit.output = lambda x: lit.module(x)
    trainer(FeatMix({"module.stem": moex()}), epochs=1).fit(lit, loader(12))
