"""Decisions: gated and tied once, and sent in one copy."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import featmix as fm
from featmix.sampling.draws import stream
from featmix.strategies.params import Draw, Params, decisions_to, of_the_batch


@dataclass(frozen=True, eq=False)
class NotedParams(Params):
    """A decision with fields of every kind."""

    note: Tensor
    shared: Tensor = of_the_batch()  # noqa: RUF009 - a field
    sizes: tuple[int, ...]


def drawn(partner=(1, 2, 0, 3), active=(True, True, True, False), *, mixes_labels=True):
    gates = np.array(active)
    return Draw(np.where(gates, partner, np.arange(len(gates))), gates, stream(), mixes_labels)


def tensors_of(params):
    return [value for value in vars(params).values() if isinstance(value, Tensor)] + params.mixture.tensors()


@pytest.mark.parametrize("lam", [0.75, np.array([0.75]), np.array([0.75, 0.5, 0.25, 0.125])], ids=["number", "one", "each"])
def test_rows_that_are_not_active_keep_lam_1_and_their_label(lam):
    params = Params.of(drawn(), lam)
    expected = [*np.broadcast_to(lam, 4)[:3], 1]
    assert params.lam.dtype == torch.float32
    assert params.lam.tolist() == expected
    assert params.partner.tolist() == [1, 2, 0, 3]
    assert params.mixture.index.tolist() == [[0, 1], [1, 2], [2, 0], [3, 3]]
    assert params.mixture.weight.tolist() == [[share, 1 - share] for share in expected]
    assert (params.mixture.weight.dtype, params.mixture.index.dtype) == (torch.float32, torch.int64)
    assert params.mixture.scale is None


def test_labels_stay_where_they_do_not_follow_and_where_nothing_is_drawn():
    for params in (Params.of(drawn(mixes_labels=False), 0.5), Params.of(drawn())):
        assert torch.equal(params.mixture.matrix(), torch.eye(4))
    assert Params.of(drawn()).lam is None


def test_what_a_mixed_row_counts_in_the_loss():
    assert Params.of(drawn(), 0.5, loss_weight=2.0).mixture.scale.tolist() == [2, 2, 2, 1]
    assert Params.of(drawn(), 0.5, loss_weight=1.0).mixture.scale is None


def test_a_mixture_of_ones_own_and_fields_of_ones_own():
    mixture = fm.Mixture.identity(4)
    params = NotedParams.of(drawn(), 0.5, mixture=mixture, note=np.arange(4), shared=torch.ones(3), sizes=(2, 2))
    assert params.mixture is mixture
    assert params.note.tolist() == [0, 1, 2, 3]
    assert params.sizes == (2, 2)
    assert set(params.per_row()) == {"partner", "active", "lam", "note"}


@pytest.mark.parametrize(("active", "rests"), [((False,) * 4, True), ((True, False, False, False), False)])
def test_whether_a_row_acts_is_known_from_the_draw(active, rests):
    params = Params.of(drawn(active=active), 0.5)
    assert params.rests is rests
    assert params.acts() is not rests
    unknown = dataclasses.replace(params)
    assert unknown.rests is None
    assert unknown.acts() is not rests


class TestTied:
    """Rows that are not active are their own partners."""

    def test_a_draw_ties_once(self):
        params = Params.of(drawn(), 0.5)
        assert params.is_tied
        assert params.tied() is params

    def test_a_decision_put_together_by_hand_is_tied_when_it_acts(self):
        rows, active = torch.tensor([1, 0, 0]), torch.tensor([True, False, True])
        params = Params(rows, active, torch.ones(3), fm.Mixture.identity(3))
        assert not params.is_tied
        tied = params.tied()
        assert tied.partner.tolist() == [1, 1, 0]
        assert tied.is_tied
        assert tied.tied() is tied
        assert params.partner is rows

    def test_replacing_a_field_by_the_dataclass_loses_what_is_known(self):
        params = dataclasses.replace(Params.of(drawn(), 0.5), active=torch.tensor([False, True, True, True]))
        assert not params.is_tied
        assert params.taker is None
        assert params.tied().partner.tolist() == [0, 2, 0, 3]

    def test_replaced_keeps_it(self):
        params = Params.of(drawn(), 0.5)
        taker = params.taker
        changed = params.replaced(mask=torch.ones(4, 5, dtype=torch.bool), lam=torch.zeros(4))
        assert changed.is_tied
        assert changed.rests is False
        assert changed.taker is taker
        assert changed.mask.shape == (4, 5)
        assert params.mask is None

    def test_idle_decisions_rest_and_keep_their_shapes(self):
        params = NotedParams.of(drawn(), 0.5, loss_weight=2.0, note=np.arange(4), shared=torch.ones(3), sizes=(2, 2))
        idle = params.idle()
        assert type(idle) is NotedParams
        assert idle.rests
        assert not idle.active.any()
        assert idle.is_tied
        assert idle.partner.tolist() == [0, 1, 2, 3]
        assert idle.lam.tolist() == [1] * 4
        assert torch.equal(idle.mixture.matrix(), torch.eye(4))
        assert idle.mixture.index.shape == params.mixture.index.shape
        assert idle.sizes == (2, 2)
        assert params.acts()

    @pytest.mark.parametrize("name", fm.list_strategies())
    def test_every_strategy_decides_tied(self, name):
        strategy = fm.create(name, p=0.5, per="sample")
        for seed in range(5):
            params = strategy.make_params((16, 8, 6, 6), generator=torch.Generator().manual_seed(seed))
            idle = ~params.active
            assert params.is_tied
            assert params.rests is bool(idle.all())
            assert torch.equal(params.partner[idle], torch.arange(16)[idle])


class TestTakers:
    """Who took from each row."""

    def test_they_are_found_for_a_draw(self):
        assert Params.of(drawn(), 0.5).taker.tolist() == [2, 0, 1, -1]
        assert Params.of(drawn(active=(True, False, True, True)), 0.5).taker.tolist() == [2, 0, -1, -1]

    def test_there_are_none_where_two_took_from_one(self):
        assert Params.of(drawn(partner=(1, 0, 1, 3)), 0.5).taker is None

    def test_they_go_along_to_another_device(self):
        there = Params.of(drawn(), 0.5).to("meta")
        assert there.taker.device.type == "meta"
        assert Params.of(drawn(partner=(1, 0, 1, 3)), 0.5).to("meta").taker is None

    @pytest.mark.parametrize("name", [name for name in fm.list_strategies() if fm.strategy_class(name).tags.partnered])
    def test_they_are_the_inverse_of_partners(self, name):
        params = fm.create(name, p=0.5, per="sample").make_params((16, 8, 6, 6), generator=torch.Generator().manual_seed(1))
        for i, j in enumerate(params.partner.tolist()):
            if i != j:
                assert params.taker[j] == i
        assert (params.taker >= 0).sum() == (params.partner != torch.arange(16)).sum()


class Copies(TorchDispatchMode):
    """Counts copies from one device to another."""

    count = 0

    def __torch_dispatch__(self, function, _types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.count += function.overloadpacket is torch.ops.aten._to_copy and result.device != args[0].device
        return result


class TestDevices:
    """Decisions sent to another device: the meta device stands for one."""

    @pytest.mark.parametrize("name", fm.list_strategies())
    def test_every_decision_goes_in_one_copy(self, name):
        params = fm.create(name, p=1.0).make_params((6, 8, 5, 5))
        with Copies() as copies:
            there = params.to("meta")
        assert copies.count == 1
        assert type(there) is type(params)
        assert {t.device.type for t in tensors_of(there)} == {"meta"}
        assert there.is_tied
        assert there.rests is params.rests
        shapes = {name: (t.shape, t.dtype) for name, t in params.per_row().items()}
        assert {name: (t.shape, t.dtype) for name, t in there.per_row().items()} == shapes

    def test_several_decisions_and_a_mixture_go_in_one_copy(self):
        decisions = [fm.create(name, p=1.0).make_params((6, 8, 5, 5)) for name in ("cutmix", "moex", "patchup")]
        more = fm.Mixture.identity(6)
        with Copies() as copies:
            *there, mixture = decisions_to(decisions, "meta", more)
        assert copies.count == 1
        assert [type(p) for p in there] == [type(p) for p in decisions]
        assert mixture.index.device.type == "meta"
        assert there[0].sizes == (5, 5)

    def test_what_is_there_stays(self):
        params, more = Params.of(drawn(), 0.5), fm.Mixture.identity(4)
        with Copies() as copies:
            assert decisions_to([params], "cpu", more) == [params, more]
            assert params.to(torch.device("cpu")) is params
        assert copies.count == 0

    def test_values_arrive(self):
        params = NotedParams.of(drawn(), 0.5, loss_weight=2.0, note=np.arange(4), shared=torch.ones(3), sizes=(2, 2))
        (there,) = decisions_to([params], "cpu")
        assert there is params

    def test_one_draw_of_a_mixer_is_one_copy(self):
        x = torch.empty(4, 3, 8, 8, device="meta")
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten())
        tree = {"input": fm.CutMix(p=1.0), "0": fm.MoEx(p=1.0)}
        with fm.attach(model, tree, example=torch.zeros(4, 3, 8, 8)) as mixer, Copies() as copies:
            mix = mixer.draw(x)
        assert copies.count == 1
        assert mix.mixture.index.device.type == "meta"
        assert {p.partner.device.type for p in mix.params.values()} == {"meta"}


class TestDraw:
    """What a strategy decides from."""

    def test_how_many_numbers_are_drawn(self):
        assert [drawn().count(per) for per in ("batch", "sample")] == [1, 4]
        empty = Draw(np.empty(0, dtype=np.int64), np.empty(0, dtype=bool), stream(), mixes_labels=True)
        assert [empty.count(per) for per in ("batch", "sample")] == [0, 0]
        assert len(empty) == 0

    def test_values_for_all_rows_and_idle_ones_for_those_that_are_not_active(self):
        draw = drawn()
        one, each = np.array([[1, 2]]), np.arange(8).reshape(4, 2)
        assert draw.every(one).tolist() == [[1, 2]] * 4
        assert draw.every(each).tolist() == each.tolist()
        assert draw.gated(one, 0).tolist() == [[1, 2]] * 3 + [[0, 0]]
        assert draw.gated(each, -1).tolist() == [[0, 1], [2, 3], [4, 5], [-1, -1]]
        assert each[3].tolist() == [6, 7]  # untouched
        assert draw.every(one).dtype == one.dtype


def test_a_strength_that_was_not_drawn_is_refused():
    params = Params.of(drawn())
    for attempt in (params.own_share, params.shares, lambda: params.strength(torch.ones(4, 2))):
        with pytest.raises(fm.FeatmixError, match="lam: expected a strength, got None"):
            attempt()
    strength = Params.of(drawn(), 0.5).strength(torch.ones(4, 2, 3, dtype=torch.float64))
    assert (strength.shape, strength.dtype) == ((4, 1, 1), torch.float64)
