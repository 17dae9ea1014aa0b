"""A subject says what it takes, and is given nothing else; what could not be tried for it is recorded."""

import re

import pytest
import torch
from torch import nn

import featmix as fm
from featmix.errors import FeatmixError
from featmix.strategies.base import Strategy
from featmix.strategies.params import Params
from featmix.strategies.tags import Tags
from featmix.testing import (
    adapt,
    check_normalizer,
    check_strategy,
    features_for,
    from_function,
    from_normalizer,
    from_torch_norm,
    reproduce,
)
from featmix.testing.law import LawError
from featmix.testing.needs import decide, needs, sample_shape, target_for, without_prefix
from tests.correct.blending import ComplementInFloat32, ThroughTheMixture
from tests.correct.needing import ByPairOfClasses, HalfTypesOnly, LearnedGates, Slerp, WithinAClass
from tests.correct.pasting import Halves, SomeTokens
from tests.interop.real_torchvision import torchvision_or_skip

FLOAT32 = [torch.float32]


class Watched(fm.Mixup):
    """Remembers the shapes, dtypes and labels that it was given."""

    def __init__(self, **said):
        super().__init__()
        self.tags = Tags(mixes_labels=True, paper="none", **said)
        self.shapes, self.dtypes, self.targets = set(), set(), []

    def make_params(self, shape, *, target=None, **given):
        self.targets.append(target)
        return super().make_params(shape, target=target, **given)

    def transform(self, x, params, mask=None):
        self.shapes.add(tuple(x.shape[1:]))
        self.dtypes.add(x.dtype)
        return super().transform(x, params, mask)


QUICK = (
    "identity",
    "isolation",
    "labels_measure_content",
    "degenerate",
    "does_something",
    "inplace_safe",
    "gradcheck",
    "prefix",
)


def watched(dtypes=FLOAT32, **said):
    strategy = Watched(**said)
    records = check_strategy(strategy, only=QUICK, examples=14, dtypes=[torch.float64, *dtypes])
    return strategy, {record.law: record for record in records}


# -- what it is given --------------------------------------------------------------------------------------------------


def test_channels():
    strategy, _ = watched(channels=6)
    assert {shape[0] for shape in strategy.shapes if len(shape) == 3} == {6}
    assert len(strategy.shapes) > 5


def test_shapes():
    strategy, records = watched(shapes=((3, 4, 6), (3, 6, 4)))
    assert strategy.shapes == {(3, 4, 6), (3, 6, 4)}
    assert records["labels_measure_content"].status == records["degenerate"].status == "passed"


def test_a_law_of_two_lengths_needs_them():
    class OneSize(fm.Mixup):
        tags = Tags(mixes_labels=True, paper="none", shapes=((8, 4),))

    (record,) = check_strategy(OneSize(), only=["prefix"])
    assert (record.status, record.reason) == (
        "skipped", "it needs tokens of two lengths, and the strategy takes samples of shape (8, 4)",
    )  # fmt: skip


def test_dtypes():
    strategy = Watched(dtypes=(torch.float32, torch.bfloat16))
    records = {record.law: record for record in check_strategy(strategy, only=QUICK, examples=3)}
    assert strategy.dtypes == {torch.float32, torch.bfloat16}
    assert records["gradcheck"].reason == "it needs float64, which the subject does not take"
    (record,) = check_strategy(strategy, only=["gradcheck"], dtypes=[torch.bfloat16, torch.float16])
    assert record.reason == "it needs float64, which is not among the dtypes"
    (record,) = check_strategy(strategy, only=["identity"], dtypes=[torch.float16])
    assert (record.status, record.reason) == ("skipped", "none of the dtypes is one that the subject takes")


def test_labels():
    strategy, _ = watched(needs_target=True, classes=3)
    assert all(target is not None and target.dtype == torch.int64 for target in strategy.targets)
    assert {int(label) for target in strategy.targets for label in target} == {0, 1, 2}
    assert all(target is None for target in watched()[0].targets)


def test_features_fit():
    from hypothesis import find

    assert find(features_for(LearnedGates()), lambda x: len(x) == 2).shape[:2] == (2, 64)
    assert find(features_for(Halves(layout="bhwc")), lambda x: True).shape[1:] in ((6, 8, 3), (8, 6, 3))
    assert find(features_for(SomeTokens(layout="bnc", num_prefix_tokens=3)), lambda _: True).shape == (1, 4, 1)


def test_the_shape_of_an_ordinary_sample():
    assert sample_shape(fm.MoEx("gn2", layout="bnc")) == (5, 8)
    assert sample_shape(fm.Mixup(layout="bcn", num_prefix_tokens=2)) == (4, 7)
    assert sample_shape(fm.Mixup(num_prefix_tokens=2), positions=3) == (5, 4)
    assert sample_shape(LearnedGates(), positions=2) == (64, 2, 2)


def test_without_prefix():
    mixup = fm.Mixup(layout="bnc", num_prefix_tokens=2)
    assert without_prefix(mixup).axes.num_prefix_tokens == 0
    assert without_prefix(fm.MoEx()).axes.num_prefix_tokens == 0


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"channels": 0}, "channels: expected a whole number"),
        ({"classes": True}, "classes: expected a whole number"),
        ({"shapes": ((3, 4), (3, 4, 5))}, "all of the same number of axes"),
        ({"shapes": (3, 4)}, "shapes of one sample"),
        ({"needs_target": 1}, "True or False"),
        ({"dtypes": (torch.int64,)}, "floating dtypes"),
    ],
)
def test_needs_are_checked(said, message):
    with pytest.raises(FeatmixError, match=message):
        needs(Watched(**said))


# -- failures say it too -----------------------------------------------------------------------------------------------


def test_the_decision_of_a_failure_has_its_labels():
    class Leaks(WithinAClass):
        def act(self, x, params):
            return x + 0 * x.mean()

    (record,) = check_strategy(Leaks(), only=["isolation"], dtypes=FLOAT32, on_fail=None)
    assert "target=target_for(subject, x.shape[0]))" in record.message
    lines = record.message.split("\n\n")[-1].splitlines()
    space = {"subject": Leaks()}
    exec("\n".join(line for line in lines[:-1] if not line.startswith("# subject")), space)
    seed = int(re.search(r"manual_seed\((\d+)\)", record.message)[1])
    assert torch.equal(space["params"].partner, decide(Leaks(), space["x"].shape, seed).partner)
    with pytest.raises(LawError, match="leaked"):
        exec(lines[-1], space)


def test_labels_of_a_batch_are_always_the_same():
    assert torch.equal(target_for(WithinAClass(), 9), target_for(WithinAClass(), 9))
    assert target_for(ByPairOfClasses(), 200).max() == 9
    assert target_for(WithinAClass(), 200).max() == 4


# -- false alarms ------------------------------------------------------------------------------------------------------


def statuses(subject, *only, **settings):
    check = check_normalizer if isinstance(adapt(subject), fm.Normalizer) else check_strategy
    return {record.law: record.status for record in check(subject, only=only, on_fail=None, **settings)}


def test_float32_shares_are_no_fault_in_float64():
    assert statuses(ComplementInFloat32(), "identity", "oracle", dtypes=[torch.float64], thorough=True) == {
        "identity": "passed", "oracle": "passed",
    }  # fmt: skip


def test_float32_features_in_float64_are_one():
    class Narrow(ComplementInFloat32):
        def act(self, x, params):
            return super().act(x.float(), params)

    assert statuses(Narrow(), "oracle", dtypes=[torch.float64]) == {"oracle": "failed"}


def test_a_row_as_its_own_partner_has_its_own_label():
    assert statuses(ThroughTheMixture(), "identity", examples=20) == {"identity": "passed"}


def test_labels_by_decree_are_not_measured():
    (record,) = check_strategy(Slerp(), only=["labels_measure_content"])
    assert (record.status, record.reason) == (
        "skipped", "it is for strategies whose labels are shares of what is in the features",
    )  # fmt: skip

    class Claims(Slerp):
        tags = Tags(mixes_labels=True, paper="none")

    assert statuses(Claims(), "labels_measure_content") == {"labels_measure_content": "failed"}


def pooled(x, partner):
    mean = x.mean(1, keepdim=True)
    return x - mean + mean[partner]


def pooled_under_a_mask(x, partner, mask):
    weight = torch.ones(x.shape[:2], dtype=x.dtype) if mask is None else mask.to(x.dtype)
    mean = (torch.where(weight.unsqueeze(2) > 0, x, 0)).sum(1, keepdim=True) / weight.sum(1).clamp(min=1).view(-1, 1, 1)
    return x - mean + mean[partner]


PADDING = ("padding", "padded_as_short", "full_mask")


def test_a_function_that_is_told_of_no_padding_is_not_asked_for_it():
    assert set(statuses(from_function(pooled, layout="bnc"), *PADDING).values()) == {"skipped"}
    with pytest.raises(FeatmixError, match="cannot tell padding from content"):
        from_function(pooled, layout="bnc").make_params((2, 3, 4), mask=torch.ones(2, 3, dtype=torch.bool))


def test_a_function_that_says_so_is():
    told = from_function(pooled_under_a_mask, layout="bnc")
    assert set(statuses(told, *PADDING, dtypes=FLOAT32).values()) == {"passed"}
    claims = from_function(pooled, layout="bnc", masks=True)
    assert statuses(claims, "padded_as_short") == {"padded_as_short": "failed"}


def test_a_module_is_a_function():
    class Half(nn.Module):
        def forward(self, x, partner):
            return 0.5 * (x + x[partner])

    assert statuses(Half(), "partner_direction", dtypes=FLOAT32) == {"partner_direction": "passed"}
    for other in (nn.Bilinear(2, 2, 2), nn.MSELoss(), nn.LSTM(3, 3)):
        with pytest.raises(FeatmixError, match="adapt: subject"):
            adapt(other)


def test_prefix_tokens_of_ones_own_are_no_content():
    laws = ("labels_measure_content", "identity", "oracle", "padded_labels_measure_content", "degenerate", "contract")
    assert set(statuses(fm.Mixup(layout="bnc", num_prefix_tokens=1), *laws, examples=12).values()) == {"passed"}
    assert statuses(fm.MoEx("in", layout="bnc", num_prefix_tokens=2), "moments", "gradcheck") == {
        "moments": "passed", "gradcheck": "passed",
    }  # fmt: skip


# -- layers derived from torch's ---------------------------------------------------------------------------------------


def test_timms_layer_norm_of_images_is_one_over_channels_that_stand_first():
    torchvision_or_skip()  # which timm imports
    layers = pytest.importorskip("timm.layers")
    norm = from_torch_norm(layers.LayerNorm2d(6))
    assert (norm.layout, norm.like.name, norm.channels, norm.eps) == ("bchw", "pono", 6, 1e-6)
    x = torch.randn(2, 6, 3, 4, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(norm.moments(x).mean, x.mean(1, keepdim=True), atol=1e-6)
    laws = ("restores", "agrees_with_oracle", "statistics_in_float32")
    assert set(statuses(layers.LayerNorm2d(6), *laws).values()) == {"passed"}
    assert from_torch_norm(layers.GroupNorm1(6)).like.name == "gn1"


def test_a_layer_that_does_something_else_says_so():
    class Halved(nn.LayerNorm):
        def forward(self, x):
            return 0.5 * super().forward(x)

    with pytest.raises(FeatmixError, match="Halved, which has a forward of its own and does something else"):
        adapt(Halved(4))


def test_a_normalizer_says_what_it_takes():
    class Eight:
        channels, dtypes, shapes = 8, FLOAT32, None

        def moments(self, x):
            assert x.shape[1] == 8
            assert x.dtype == torch.float32
            return x.mean((2, 3), keepdim=True), (x.var((2, 3), keepdim=True, correction=0) + 1e-5).sqrt()

        def normalize(self, x):
            mean, std = self.moments(x)
            return (x - mean) / std

        def denormalize(self, xh, moments):
            return xh * moments[1] + moments[0]

    records = check_normalizer(from_normalizer(Eight(), like="in", unbiased=False), examples=14, on_fail=None)
    assert {record.status for record in records} == {"passed", "skipped"}, [r.message for r in records if r.message]
    assert {record.dtype for record in records if record.status == "passed"} == {"float32", None}
    given = from_normalizer(Eight(), channels=8, dtypes=FLOAT32)
    assert needs(given) == needs(from_normalizer(Eight()))


def test_reproduce_takes_a_subject_with_needs():
    reproduce("identity", HalfTypesOnly(), torch.ones(2, 1, 2, 2, dtype=torch.float16), seed=3)


class OnlyWhereLabelsDiffer(Strategy[Params]):
    """The other way round than within a class; its gate is not the whole of p."""

    tags = Tags(mixes_labels=False, paper="none", needs_target=True)
    wrong = 1.0

    def decide(self, shape, draw):
        return Params.of(draw, 0.5)

    def make_params(self, shape, *, target=None, **given):
        params = super().make_params(shape, target=target, **given)
        apart = target != target[params.partner]
        rows, keep = torch.arange(len(target)), torch.rand(()) < self.wrong
        active = params.active & apart & keep
        return params.replaced(partner=torch.where(active, params.partner, rows), active=active)

    def act(self, x, params):
        return torch.lerp(x.float()[params.partner], x.float(), 0.5)


@pytest.mark.parametrize(("kept", "status"), [(1.0, "passed"), (0.5, "failed")])
def test_probability_where_labels_decide_too(kept, status):
    strategy = OnlyWhereLabelsDiffer()
    strategy.wrong = kept
    assert statuses(strategy, "probability") == {"probability": status}
