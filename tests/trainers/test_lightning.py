"""Modules that nobody edits, under the real Lightning: the steps of the loop by hand, bit for bit."""

import copy

import pytest
import torch
from lightning.pytorch.callbacks import LearningRateFinder, ModelCheckpoint, StochasticWeightAveraging, WeightAveraging
from lightning.pytorch.tuner import Tuner
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

import featmix as fm
from featmix.trainers.lightning import FeatMix
from tests.attaching import moex, net
from tests.trainers.lit import Lit, by_hand, loader, plain_tree, same, trainer, tree

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:lightning", "ignore:.*LeafSpec:FutureWarning")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def expected():
    return by_hand()


def fitted(lit, *callbacks, criterion="criterion", **settings):
    mixing = FeatMix(tree(), criterion, seed=3)
    trainer(*callbacks, mixing, **settings).fit(lit, loader(), loader(6))
    return mixing


class Function(Lit):
    """Has no attribute that holds its loss."""

    def __init__(self):
        super().__init__()
        del self.criterion

    def loss(self, output, y):
        return F.cross_entropy(output, target=y)


class Method(Lit):
    """Its loss is a method."""

    def __init__(self):
        super().__init__()
        self.criterion, self.of_rows = None, nn.CrossEntropyLoss(reduction="none")
        del self.criterion

    def loss(self, output, y):
        return self.criterion(output, y).mean()

    def criterion(self, output, y):
        return self.of_rows(output, y)


def own_loss(output, y):
    return F.cross_entropy(output, y, reduction="none")


class Own(Function):
    """Calls a function of this file."""

    def loss(self, output, y):
        return own_loss(output, y).mean()


class Selfish(Lit):
    """Calls itself, and its loss by a longer name."""

    def __init__(self):
        super().__init__()
        self.losses = nn.ModuleDict({"main": nn.CrossEntropyLoss()})

    def forward(self, x):
        return self.model(x)

    def output(self, x):
        return self(x)

    def loss(self, output, y):
        return self.losses["main"](output, y)


class Regular(Lit):
    """Adds to its loss what has no labels, looks at it without gradient, and returns a dictionary."""

    def training_step(self, batch, batch_idx):
        output = self.output(batch[0])
        loss = self.loss(output, batch[1])
        with torch.no_grad():
            self.log("loss", self.loss(output, batch[1]))
        self.seen.append(loss.detach().clone())
        return {"loss": loss + 0 * output.softmax(1).square().sum()}


class Manual(Lit):
    """Steps its optimizer itself."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        loss, optimizer = super().training_step(batch, batch_idx), self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()


class Layer(nn.Module):
    """A layer that is run again in backward."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return checkpoint(self.layer, x, use_reentrant=False)


def checkpointed():
    lit = Lit()
    lit.model.layer1 = Layer(lit.model.layer1)
    return lit


KINDS = {
    "its own loss module": (Lit, "criterion"),
    "torch's function": (Function, F.cross_entropy),
    "torch's function within a module": (Lit, F.cross_entropy),
    "a method": (Method, "criterion"),
    "a function of its own": (Own, own_loss),
    "itself": (Selfish, "losses.main"),
    "several": (Selfish, ["criterion", "losses.main"]),
    "by hand": (Manual, "criterion"),
    "with more than the loss": (Regular, "criterion"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_trains_as_by_hand_and_validates_plainly(kind, expected):
    made, criterion = KINDS[kind]
    lit = made()
    before = {name: list(vars(part)) for name, part in lit.named_modules()}
    mixing = fitted(lit, criterion=criterion)
    same(lit, by_hand(loss=own_loss) if made in (Method, Own) else expected)
    torch.testing.assert_close(*zip(*lit.checked, strict=True), rtol=0, atol=1e-6 if made in (Method, Own) else 0)
    assert len(lit.checked) == 2
    assert mixing.mixer.progress == 7 / 8
    assert {name: list(vars(part)) for name, part in lit.named_modules()}.keys() == before.keys()
    assert "training_step" not in vars(lit)
    assert type(lit.model) is type(net())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in lit.modules())
    assert "forward" not in {name for part in lit.modules() for name in vars(part)}


def test_accumulation_half_precision_and_checkpointed_layers(expected):
    lit = Lit()
    fitted(lit, accumulate_grad_batches=2)
    same(lit, by_hand(accumulate=2))
    lit = Lit()
    fitted(lit, precision="bf16-mixed")
    same(lit, by_hand(autocast=True))
    lit = checkpointed()
    mixing = FeatMix({"input": fm.CutMix(), "model.stem": moex(), "model.layer1.layer": fm.Mixup()}, seed=3)
    trainer(mixing).fit(lit, loader())
    assert torch.equal(torch.stack(lit.seen), torch.stack(expected[0]))


def test_a_single_batch():
    lit = Lit()
    fitted(lit, fast_dev_run=True)
    assert torch.equal(lit.seen[0], by_hand(epochs=1)[0][0])


def test_averages_of_weights_are_not_mixed(expected):
    for averaging in (StochasticWeightAveraging(0.05, swa_epoch_start=1), WeightAveraging()):
        lit = Lit()
        fitted(lit, averaging)
        assert torch.equal(torch.stack(lit.seen[:8]), torch.stack(expected[0]))
        average = averaging._average_model
        assert not any(part._forward_hooks or part._forward_pre_hooks for part in average.modules())
        if len(lit.seen) > 8:  # an epoch for the statistics of normalization layers
            x, y = next(iter(loader()))
            clean = copy.deepcopy(lit.model).train()
            assert torch.equal(lit.seen[8], F.cross_entropy(clean(x), y))


def test_a_search_for_the_learning_rate_leaves_no_trace(expected):
    lit = Lit()
    lit.lr = 0.05
    mixing = FeatMix(tree(), seed=3)
    search = trainer(mixing)
    Tuner(search).lr_find(lit, loader(), num_training=3, update_attr=False)
    assert "training_step" not in vars(lit)
    assert len(lit.seen) == 3
    lit.seen.clear()
    search.fit(lit, loader())
    same(lit, expected)
    lit = Lit()
    lit.lr = 0.05
    fitted(lit, LearningRateFinder(num_training_steps=3, update_attr=False))
    lit.seen = lit.seen[3:]
    same(lit, expected)


COMPILED = {
    "the network": lambda lit: setattr(lit, "model", torch.compile(lit.model, backend="eager")),
    "the network in place": lambda lit: lit.model.compile(backend="eager"),
    "all of it": lambda lit: torch.compile(lit, backend="eager"),
}


@pytest.mark.parametrize("kind", COMPILED)
def test_compiled(kind, expected):
    lit = Selfish() if kind == "all of it" else Lit()
    called = COMPILED[kind](lit)
    called = lit if called is None else called
    mixing = FeatMix(tree(), seed=3, criterion="losses.main" if kind == "all of it" else "criterion")
    trainer(mixing).fit(called, loader())
    torch.testing.assert_close(torch.stack(lit.seen), torch.stack(expected[0]), rtol=0, atol=1e-6)
    assert "_featmix" not in str(vars(lit).get("training_step"))


def test_a_process_of_its_own(tmp_path):
    lit = Lit()
    saving = ModelCheckpoint(tmp_path, "last")
    fitted(lit, saving, epochs=1, strategy="ddp_spawn", devices=1, enable_checkpointing=True, use_distributed_sampler=False)
    weights = torch.load(tmp_path / "last.ckpt", weights_only=True)["state_dict"]
    for name, value in by_hand(epochs=1)[1].items():  # the other process may have more threads
        torch.testing.assert_close(weights[f"model.{name}"], value, rtol=0, atol=1e-6)
    assert "training_step" not in vars(lit)


def test_an_optimizer_that_asks_again_gets_the_same_decisions():
    class Again(Lit):
        def configure_optimizers(self):
            return torch.optim.LBFGS(self.parameters(), lr=0.1, max_iter=3, tolerance_grad=0, tolerance_change=0)

    lit, model = Again(), net()
    mixing = FeatMix(tree(), seed=3)
    trainer(mixing, epochs=1).fit(lit, loader(12))
    assert mixing.mixer.state_dict()["draws"] == 2
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3, tolerance_grad=0, tolerance_change=0)
    x, _ = next(iter(loader()))
    mixer, seen = fm.attach(model, plain_tree(), seed=3, example=x), []
    for x, y in loader(12):
        mix = mixer.draw(x)

        def closure(x=x, y=y, mix=mix):
            mixer.repeat(mix)
            loss = mix.loss(F.cross_entropy, model(x), y)
            optimizer.zero_grad()
            loss.backward()
            seen.append(loss.detach())
            return loss

        optimizer.step(closure)
    same(lit, (seen, model.state_dict()))


def test_strategies_that_look_at_labels_and_those_that_leave_them_alone():
    remembering = {"model.stem": moex(memory=8)}
    with pytest.raises(fm.FeatmixError, match=r"a function of the model's arguments gives the rest|Pass target="):
        trainer(FeatMix(remembering)).fit(Lit(), loader())
    lit = Lit()
    trainer(FeatMix(remembering, seed=3, given=lambda batch: {"target": batch[1]})).fit(lit, loader(12))
    model = net()
    mixer = fm.attach(model, {"stem": moex(memory=8)}, seed=3, example=next(iter(loader()))[0])
    first = [mixer.draw(x, target=y).loss(F.cross_entropy, model(x), y).detach() for x, y in [next(iter(loader(12)))]]
    assert torch.equal(lit.seen[0], first[0])
    trainer(FeatMix({"model.layer1": fm.MixStyle(p=1.0)})).fit(Function(), loader(12))


def test_the_state_before_any_step_and_after():
    mixing = FeatMix(tree(), seed=3)
    assert mixing.state_dict() == {"mixer": None}
    with pytest.raises(fm.FeatmixError, match="none so far"):
        _ = mixing.mixer
    with pytest.raises(fm.FeatmixError, match="the state of FeatMix"):
        mixing.load_state_dict({"other": 1})
    lit, again = Lit(), Lit()
    trainer(mixing, epochs=1).fit(lit, loader())
    other = FeatMix(tree(), seed=99)
    other.load_state_dict(mixing.state_dict())
    again.model.load_state_dict(lit.model.state_dict())
    trainer(other, epochs=1).fit(again, loader())
    assert torch.equal(torch.stack(lit.seen + again.seen), torch.stack(by_hand()[0]))
