"""What the base class does for every strategy, so that a newcomer writes two short methods."""

import dataclasses
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

import featmix as fm
from featmix.sampling.draws import stream
from featmix.strategies.base import Strategy
from featmix.strategies.content import ContentStrategy
from featmix.strategies.moments import MomentStrategy
from featmix.strategies.params import Draw, Params

X = torch.randn(6, 3, 4, 4, generator=torch.Generator().manual_seed(0))


class Swap(fm.Strategy):
    """The shortest strategy: partners take each other's place."""

    tags = fm.Tags(mixes_labels=True, paper="none")

    def decide(self, shape, draw):
        return Params.of(draw, 0.0)

    def act(self, x, params):
        return x[params.partner]


@dataclass(frozen=True, eq=False)
class ShiftParams(Params):
    """By how much each row is shifted."""

    by: Tensor


class Shift(Strategy[ShiftParams]):
    """Adds a number of its own to each row."""

    tags = fm.Tags(mixes_labels=False, paper="none", partnered=False)

    def decide(self, shape, draw):
        return ShiftParams.of(draw, by=draw.random.random(len(draw)).astype("float32"))

    def act(self, x, params):
        return x + params.by.view(-1, *[1] * (x.ndim - 1))


def decision(strategy, x=X, seed=0, **given):
    return strategy.make_params(x.shape, generator=torch.Generator().manual_seed(seed), **given)


# -- two methods are enough ----------------------------------------------------------------------------------------------


def test_two_methods_are_enough():
    swap, y = Swap(p=0.5, per="sample"), torch.arange(6)
    params = decision(swap)
    assert params.active.any()
    assert not params.active.all()
    assert torch.equal(swap.transform(X, params), X[params.partner])
    mixed, soft = swap(X, y, num_classes=6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(mixed, X[params.partner])
    assert torch.equal(soft.argmax(1), params.partner)


def test_what_is_not_written_says_so():
    class Nothing(fm.Strategy):
        tags = fm.Tags(mixes_labels=True, paper="none")

    with pytest.raises(NotImplementedError, match="Nothing does not say what it decides"):
        Nothing().make_params(X.shape)
    params = decision(Swap())
    with pytest.raises(NotImplementedError, match="Nothing does not say how it acts"):
        Nothing().transform(X, params)
    with pytest.raises(NotImplementedError, match="Nothing has no oracle"):
        Nothing().oracle(X.numpy(), params)
    with pytest.raises(fm.FeatmixError, match="label shares have no place"):
        Nothing().dense_targets(torch.zeros(6, 4, 4).long(), params)


def test_a_content_strategy_that_does_not_say_its_share():
    class Silent(ContentStrategy[Params]):
        tags = fm.Tags(mixes_labels=True, paper="none")

    with pytest.raises(NotImplementedError, match="Silent does not say how much of a position"):
        Silent().partner_share(decision(Swap()), (4, 4))


# -- Strategy[P] ---------------------------------------------------------------------------------------------------------


def test_the_class_of_decisions_is_read_off_the_base():
    assert Swap.params_class is Params
    assert Shift.params_class is ShiftParams

    class Again(Shift):
        pass

    class Narrow(ContentStrategy[ShiftParams]):
        pass

    class Mixed(MomentStrategy[ShiftParams]):
        pass

    assert {Again.params_class, Narrow.params_class, Mixed.params_class} == {ShiftParams}


@pytest.mark.parametrize("name", fm.list_strategies())
def test_every_strategy_decides_what_it_says_it_takes(name):
    strategy = fm.create(name, p=1.0)
    assert isinstance(decision(strategy), type(strategy).params_class)


@pytest.mark.parametrize("name", [n for n in fm.list_strategies() if fm.strategy_class(n).params_class is not Params])
def test_the_decision_of_another_strategy_is_refused_alike(name):
    strategy = fm.create(name, p=1.0)
    kind = type(strategy).params_class.__name__
    expected = f"params: expected a decision of this strategy, {kind}, as make_params gives, got Params"
    with pytest.raises(fm.FeatmixError, match=expected):
        strategy.transform(X, decision(Swap()))
    with pytest.raises(fm.FeatmixError, match="params: expected a decision of this strategy"):
        strategy.transform(X, {"partner": torch.arange(6)})


def test_a_decision_of_a_subclass_is_taken():
    assert torch.equal(Swap().transform(X, ShiftParams.of(_draw(), 0.0, by=torch.ones(6))), X.roll(-1, 0))


def _draw():
    params = decision(Swap(), partner=torch.arange(6).roll(-1))
    return Draw(params.partner.numpy(), params.active.numpy(), stream(), mixes_labels=True)


# -- faster ways ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", fm.list_strategies())
def test_an_act_of_ones_own_gets_no_faster_way(name):
    """A kernel of the base class would not know of it."""
    base = fm.strategy_class(name)

    class Doubled(base):
        def act(self, x, params):
            return 2 * super().act(x, params)

    assert Doubled.gated is Strategy.gated
    plain, doubled = base(p=1.0), Doubled(p=1.0)
    params = decision(plain)
    wide = X.double()
    torch.testing.assert_close(doubled.transform(wide, params), 2 * plain.transform(wide, params))
    torch.testing.assert_close(doubled.transform(X, params), 2 * plain.transform(X, params))


def test_what_stands_beside_an_act_is_kept():
    class Own(fm.Mixup):
        def act(self, x, params):
            return x

        def gated(self, x, params):
            return x + 1

    class Below(Own):
        pass

    class Settings(fm.Mixup):
        """Changes no arithmetic: the faster way stays."""

        def decide(self, shape, draw):
            return Params.of(draw, 0.25)

    assert torch.equal(Own().transform(X, decision(fm.Mixup())), X + 1)
    assert Below.gated is Own.gated
    assert Settings.gated is fm.Mixup.gated


@pytest.mark.parametrize("method", ["content", "moments_of", "lent_moments"])
def test_moments_from_elsewhere_get_no_faster_way(method):
    written = type("Written", (fm.MoEx,), {method: getattr(fm.MoEx, method)})
    assert written.gated is Strategy.gated
    assert type("Other", (fm.MoEx,), {}).gated is fm.MoEx.gated


def test_rows_that_are_not_active_come_out_bit_for_bit_and_pass_no_gradient_on():
    class Poison(Swap):
        def act(self, x, params):
            return x[params.partner] / x[params.partner]

    x = X.clone()
    x[3] = float("nan")
    x.requires_grad_()
    poison = Poison()
    params = dataclasses.replace(decision(poison), active=torch.tensor([True, False, False, False, False, True]))
    params = dataclasses.replace(params, partner=torch.tensor([1, 3, 3, 3, 3, 0]))
    y = poison.transform(x, params)
    assert torch.equal(y[[1, 2, 4]], x[[1, 2, 4]])
    y[[0, 1, 2, 4, 5]].sum().backward()
    assert bool(x.grad[[0, 1, 2, 4, 5]].isfinite().all())


# -- tags, settings, schedules -------------------------------------------------------------------------------------------


def test_tags_on_an_instance_count():
    class Silent(Swap):
        def __init__(self, *, labels=True, **common):
            super().__init__(**common)
            self.labels = labels
            self.tags = dataclasses.replace(self.tags, mixes_labels=labels)

    assert torch.equal(decision(Silent(labels=False)).mixture.matrix(), torch.eye(6))
    assert not torch.equal(decision(Silent()).mixture.matrix(), torch.eye(6))
    assert Silent.tags.mixes_labels
    assert Silent(labels=False).label_step("input", decision(Silent())) is None
    pasted, blended = fm.PatchUp("hard"), fm.PatchUp("soft")
    assert (pasted.tags.needs_float, blended.tags.needs_float, fm.PatchUp.tags.needs_float) == (False, True, True)
    bytes_ = (X * 50).byte()
    assert pasted(bytes_).dtype == torch.uint8
    with pytest.raises(fm.FeatmixError, match="a floating tensor"):
        blended(bytes_)


def test_at_returns_itself_where_nothing_is_scheduled():
    mixup = fm.Mixup()
    assert mixup.at(0.5) is mixup
    scheduled = fm.Mixup(p=fm.schedule.linear(0, 1), alpha=fm.schedule.linear(1, 2))
    now = scheduled.at(0.25)
    assert (now.p, now.alpha) == (0.25, 1.25)
    assert now.at(0.75) is now  # nothing is scheduled any more
    assert scheduled.at(1.0).p == 1.0
    with pytest.raises(fm.FeatmixError, match="progress"):
        scheduled.at(1.5)


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan"), "half"])
def test_what_is_no_progress_is_refused_scheduled_or_not(progress):
    for strategy in (fm.Mixup(), fm.Mixup(p=fm.schedule.linear(0, 1))):
        with pytest.raises(fm.FeatmixError, match="progress"):
            strategy.make_params(X.shape, progress=progress)


def test_a_schedule_goes_by_the_attribute_or_the_argument():
    mixup = fm.Mixup(p=fm.schedule.linear(0, 1))
    assert not decision(mixup).acts()
    assert decision(mixup, progress=1.0).acts()
    mixup.progress = 1.0
    assert decision(mixup).acts()
    assert not decision(mixup, progress=0.0).acts()


# -- draws ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", fm.list_strategies())
def test_a_decision_is_what_one_number_of_the_generator_seeds(name):
    strategy = fm.create(name, p=0.5, per="sample")
    one, other = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    made, drawn = strategy.make_params(X.shape, generator=one), strategy.drawn(tuple(X.shape), stream(other))
    assert torch.equal(one.get_state(), other.get_state())
    assert made.per_row().keys() == drawn.per_row().keys()
    assert all(torch.equal(value, drawn.per_row()[key]) for key, value in made.per_row().items())


@pytest.mark.parametrize("name", fm.list_strategies())
def test_training_params_without_a_memory_are_make_params(name):
    strategy = fm.create(name, p=1.0)
    one, other = (
        f(X.shape, generator=torch.Generator().manual_seed(3)) for f in (strategy.make_params, strategy.training_params)
    )
    assert all(torch.equal(value, other.per_row()[key]) for key, value in one.per_row().items())


def test_partners_that_are_shared_do_not_concern_who_has_none():
    shared = torch.arange(6).roll(1)
    assert torch.equal(decision(Swap(), partner=shared).partner, shared)
    assert torch.equal(decision(Shift(), partner=shared).partner, torch.arange(6))


def test_a_device_can_be_asked_for():
    assert decision(fm.CutMix(), device="meta").box.device.type == "meta"


@pytest.mark.parametrize("name", fm.list_strategies())
def test_who_stands_for_a_strategy_at_the_input(name):
    strategy = fm.create(name)
    stands = strategy.at_input()
    assert stands is strategy or isinstance(stands, Strategy)
    assert (stands is strategy) is (name != "patchup")


def test_bad_generators_and_partners_are_refused():
    for generator in (3, "seed", stream()):
        for attempt in (Swap().make_params, Swap().training_params):
            with pytest.raises(fm.FeatmixError, match=r"generator: expected a torch\.Generator"):
                attempt(X.shape, generator=generator)
    for partner in (torch.arange(6) + 1, torch.arange(6) - 1, torch.arange(6).float(), torch.zeros(6, 1).long()):
        with pytest.raises(fm.FeatmixError, match="partner: expected int64 rows of a batch of 6"):
            Swap().make_params(X.shape, partner=partner)
    with pytest.raises(fm.FeatmixError, match="domain: expected one label a row"):
        Swap().make_params(X.shape, domain=torch.zeros(6, 2))
