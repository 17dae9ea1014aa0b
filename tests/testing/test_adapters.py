import pickle

import numpy as np
import pytest
import torch
from torch import nn

import featmix as fm
from featmix.errors import FeatmixError
from featmix.testing import (
    adapt,
    check_normalizer,
    check_strategy,
    from_function,
    from_mixer,
    from_normalizer,
    from_torch_norm,
)

FLOAT32 = [torch.float32]


def failed(records):
    return {record.law for record in records if record.status == "failed"}


def check(subject, only=None, **settings):
    given = {"examples": 20, "dtypes": FLOAT32, "on_fail": None, "kinds": ("strategy",), **settings}
    return failed(check_strategy(subject, only=only, **given))


def fade(x, partner):
    return 0.75 * x + 0.25 * x[partner]


def exchange(x, partner):
    norm = fm.normalizer("in")
    xh, m = norm.normalize(x)
    return norm.denormalize(xh, m.take(partner))


class Instance:
    """Right, and written by somebody who does not know featmix."""

    def moments(self, x):
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = wide.mean((2, 3), keepdim=True)
        return mean, ((wide - mean).square().mean((2, 3), keepdim=True) + 1e-5).sqrt()

    def normalize(self, x):
        mean, std = self.moments(x)
        return ((x - mean) / std).to(x.dtype)

    def denormalize(self, xh, moments):
        return (xh * moments[1] + moments[0]).to(xh.dtype)


# -- plain functions ---------------------------------------------------------------------------------------------------


def test_a_right_function_passes():
    assert check(fade) == set()
    assert check(from_function(fade, label_share=0.75)) == set()


def test_a_right_function_passes_attached():
    assert check(fade, ["fires", "checkpoint", "lifecycle"], kinds=("attached",)) == set()


def test_the_wrong_share_is_found():
    assert check(from_function(fade, label_share=0.25)) == {"labels_measure_content", "labels_at_scale"}


def test_the_wrong_direction_is_found():
    def scatter(x, partner):
        mixed = x.clone()
        mixed[partner] = 0.75 * x[partner] + 0.25 * x
        return mixed

    assert "partner_direction" in check(scatter)


def test_a_claim_of_moments_is_tried():
    assert check(from_function(exchange, norm="in"), ["moments", "z_bound"]) == set()

    def half_way(x, partner):
        return 0.5 * (x + exchange(x, partner))

    assert "moments" in check(from_function(half_way, norm="in"))
    assert "moments" in check(from_function(exchange, norm="pono"))


def test_stopped_gradients_are_a_claim_too():
    def detached(x, partner):
        norm = fm.normalizer("in")
        m = norm.moments(x.detach())
        return (x - m.mean) / m.std * m.std[partner] + m.mean[partner]

    float64 = {"dtypes": [torch.float64]}
    assert check(from_function(detached, norm="in", stops_gradient=True), ["gradcheck"], **float64) == set()
    assert check(from_function(detached, norm="in"), ["gradcheck"], **float64) == {"gradcheck"}


@pytest.mark.parametrize("result", [lambda x: x.double(), lambda x: x.mean((2, 3), keepdim=True), lambda x: None])
def test_a_result_of_another_kind_is_refused(result):
    strategy = from_function(lambda x, partner: result(x), name="odd")
    x = torch.zeros(2, 3, 4, 4)
    with pytest.raises(FeatmixError, match=r"odd: result: expected torch\.float32"):
        strategy.transform(x, strategy.make_params(x.shape))


def test_a_function_can_be_pickled_if_python_can_and_two_ranks_do_not_need_it():
    copied = pickle.loads(pickle.dumps(from_function(fade, label_share=0.75)))
    assert copied.name == "fade"
    assert copied.tags.mixes_labels
    records = check_strategy(lambda x, partner: fade(x, partner), only=["ddp"])
    assert [(record.law, record.status) for record in records] == [("ddp", "passed")]


def test_function_arguments_are_checked():
    with pytest.raises(FeatmixError, match="label_share"):
        from_function(fade, label_share=2)
    with pytest.raises(FeatmixError, match="a normalizer"):
        from_function(fade, norm="pnoo")
    with pytest.raises(FeatmixError, match="a function"):
        from_function(3)


# -- black boxes -------------------------------------------------------------------------------------------------------


class Blend:
    """Mixes with torch's, NumPy's or Python's global generator; wrong ones lie about the label."""

    def __init__(self, lie=False, draw=lambda: torch.rand(()).item()):
        self.lie, self.draw = lie, draw

    def __call__(self, x, labels):
        lam, order = self.draw(), torch.randperm(len(x))
        kept = 1 - lam if self.lie else lam
        return lam * x + (1 - lam) * x[order], kept * labels + (1 - kept) * labels[order]


@pytest.mark.parametrize("draw", [lambda: torch.rand(()).item(), lambda: np.random.rand()])
def test_an_honest_box_passes(draw):
    assert check(from_mixer(Blend(draw=draw), name="blend")) - {"half_types"} == set()


def test_an_honest_box_passes_attached():
    assert check(from_mixer(Blend()), ["fires", "checkpoint", "lifecycle", "ddp"], kinds=("attached",)) == set()


def test_a_lying_box_is_found():
    assert check(from_mixer(Blend(lie=True)), ["labels", "labels_measure_content", "replay"]) == {"labels_measure_content"}


def test_laws_that_take_rows_apart_do_not_apply_to_a_box():
    records = check_strategy(from_mixer(Blend()), examples=2, on_fail=None, kinds=("strategy",))
    tried = {record.law for record in records if record.status != "skipped"}
    assert not tried & {"partner_direction", "batch_equivariance", "isolation"}


def test_a_box_leaves_global_generators_alone():
    strategy = from_mixer(Blend(draw=lambda: np.random.rand()))
    x = torch.zeros(4, 3, 5, 5)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    strategy.transform(x, strategy.make_params(x.shape, generator=torch.Generator()))
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])


def test_the_partner_is_read_off_the_labels():
    def paste(x, labels):
        order = torch.tensor([2, 0, 1])
        return 0.9 * x + 0.1 * x[order], 0.9 * labels + 0.1 * labels[order]

    params = from_mixer(paste).make_params((3, 1, 2, 2))
    assert params.partner.tolist() == [2, 0, 1]
    assert torch.allclose(params.lam, torch.tensor(0.9))


@pytest.mark.parametrize(
    ("box", "said"),
    [
        (lambda x, labels: x, "features and soft labels"),
        (lambda x, labels: (x, labels[:, :1]), "labels: expected torch.float32 of shape"),
        (lambda x, labels: (x.double(), labels), "features: expected torch.float32 of shape"),
    ],
)
def test_what_a_box_returns_is_checked(box, said):
    with pytest.raises(FeatmixError, match=said):
        from_mixer(box).make_params((3, 1, 2, 2))


# -- normalizers -------------------------------------------------------------------------------------------------------


def test_any_object_is_a_normalizer():
    norm = from_normalizer(Instance(), like="in", unbiased=False)
    records = check_normalizer(norm, examples=20)
    assert "agrees_with_oracle" in {record.law for record in records}
    assert {record.law for record in records if record.status != "passed"} == {"masked_moments"}  # its methods take none


def test_without_a_model_there_is_no_oracle():
    norm = from_normalizer(Instance())
    assert (norm.eps, norm.unbiased, norm.positive_only, norm.layout, norm.exchangeable) == (1e-5, True, False, None, True)
    assert norm.group_size((2, 3, 4, 5)) == 20
    (record,) = check_normalizer(Instance(), only=["agrees_with_oracle"], examples=2)
    assert (record.status, record.reason.endswith("claim to be like one of featmix's")) == ("skipped", True)


def test_attributes_of_the_object_count():
    obj = Instance()
    obj.eps, obj.unbiased = 1e-3, False
    norm = from_normalizer(obj, like="in")
    assert (norm.eps, norm.unbiased, norm.like.eps) == (1e-3, False, 1e-3)
    assert failed(check_normalizer(norm, examples=20, dtypes=FLOAT32, on_fail=None))


def test_groups_come_from_the_model():
    own = fm.normalizer("gn2")
    norm = from_normalizer(own, like=own)
    assert norm.groups == 2
    assert {r.law for r in check_normalizer(norm, examples=10) if r.status != "passed"} == {"masked_moments"}
    with pytest.raises(FeatmixError, match="broadcastable"):
        from_normalizer(own, name="groups").moments(torch.zeros(2, 4, 3, 3))


def test_strategies_take_it():
    x = torch.randn(4, 3, 5, 5)
    foreign = fm.MoEx(from_normalizer(Instance(), like="in", unbiased=False))
    own = fm.MoEx(fm.normalizer("in", unbiased=False))
    params = own.make_params(x.shape)
    assert torch.allclose(foreign.transform(x, params), own.transform(x, params), atol=1e-5)


def test_a_wrong_module_is_refused():
    class Outside(nn.Module):
        def moments(self, x):
            mean, std = x.mean((2, 3), keepdim=True), x.std((2, 3), keepdim=True, correction=0)
            return fm.Moments(mean, std + 1e-5)

        def normalize(self, x):
            m = self.moments(x)
            return (x - m.mean) / m.std, m

        def denormalize(self, xh, m):
            return xh * m.std + m.mean

    assert failed(check_normalizer(Outside(), dtypes=FLOAT32, examples=50, on_fail=None))


@pytest.mark.parametrize(
    ("layer", "layout", "like"),
    [
        (nn.InstanceNorm1d(4), "bct", "in"),
        (nn.InstanceNorm2d(4), "bchw", "in"),
        (nn.InstanceNorm3d(4), "bcdhw", "in"),
        (nn.GroupNorm(2, 4), "bchw", "gn2"),
        (nn.LayerNorm(4), "bnc", "pono"),
        (nn.LayerNorm((4, 5)), "bct", "ln"),
        (nn.LayerNorm((4, 5, 6), eps=1e-3), "bchw", "ln"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_torch_layers(layer, layout, like):
    norm = from_torch_norm(layer, min_group=2)
    assert (norm.layout, norm.like.name, norm.unbiased, norm.eps) == (layout, like, False, layer.eps)
    # What torch's own layers are known to break; see the table in the documentation.
    known = {"single_elements"} if not isinstance(layer, nn.LayerNorm) else set()
    known |= {"memory_format"} if isinstance(layer, nn.GroupNorm) else set()
    broken = failed(check_normalizer(norm, examples=15, on_fail=None))
    assert broken <= known
    assert broken >= known - {"memory_format"}


def test_group_norm_takes_one_pass_on_channels_last_maps():
    x = torch.randn(2, 8, 16, 16, generator=torch.Generator().manual_seed(0)) + 1000
    exact = nn.functional.group_norm(x.double(), 2)
    there = nn.functional.group_norm(x.contiguous(memory_format=torch.channels_last), 2)
    assert (nn.functional.group_norm(x, 2) - exact).abs().max() < 1e-3
    assert (there - exact).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (nn.BatchNorm2d(4), "expected one of"),
        (nn.InstanceNorm2d(4, track_running_stats=True), "track_running_stats"),
        (nn.LayerNorm((4, 5), elementwise_affine=True), ""),
    ],
)
def test_other_layers_are_refused(layer, said):
    if not said:
        nn.init.constant_(layer.weight, 2.0)
        said = "weight 1 and bias 0"
    with pytest.raises(FeatmixError, match=said):
        from_torch_norm(layer)


# -- adapt -------------------------------------------------------------------------------------------------------------


def test_adapt():
    moex = fm.MoEx()
    assert adapt(moex) is moex
    assert isinstance(adapt(fm.MoEx), fm.MoEx)
    assert adapt(fade).name == "fade"
    assert adapt(Instance).name == "Instance"
    assert adapt(nn.LayerNorm(3)).like.name == "pono"


@pytest.mark.parametrize("subject", [3, "moex", nn.ReLU(), lambda x: x, nn.GroupNorm, None])
def test_adapt_refuses(subject):
    with pytest.raises(FeatmixError, match="adapt: subject: expected"):
        adapt(subject)


def test_each_check_has_its_kind():
    with pytest.raises(FeatmixError, match="check_strategy"):
        check_normalizer(fade)
    with pytest.raises(FeatmixError, match="check_normalizer"):
        check_strategy(nn.GroupNorm(2, 4))


# -- kornia ------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_kornia():
    kornia = pytest.importorskip("kornia")
    keys = ["input", "class"]

    def read(mix, partner):
        def box(x, labels):
            y, triples = mix(x, torch.arange(len(x)))
            own, other, lam = triples.reshape(-1, 3).T
            kept = 1 - lam if partner else lam
            return y, kept[:, None] * labels[own.long()] + (1 - kept)[:, None] * labels[other.long()]

        return from_mixer(box)

    mixup = kornia.augmentation.RandomMixUpV2(data_keys=keys)
    laws = ["labels", "labels_measure_content", "contract", "replay", "does_something"]
    assert check(read(mixup, partner=True), laws, examples=5) == set()
    assert check(read(mixup, partner=False), laws, examples=5) == {"labels_measure_content"}
    cutmix = kornia.augmentation.RandomCutMixV2(data_keys=keys, use_correct_lambda=True)
    assert check(read(cutmix, partner=False), [*laws, "degenerate"], examples=5) == {"degenerate"}
