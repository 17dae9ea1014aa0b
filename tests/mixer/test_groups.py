"""Frames folded into the batch: all frames of a clip share a decision, or the site is refused."""

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch.nn import functional as F

import featmix as fm
from tests.attaching import images, labels

FRAMES = 4


class Clips(nn.Module):
    """A network for frames, whose scores are averaged over a clip."""

    def __init__(self):
        super().__init__()
        self.backbone, self.head = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 5)

    def forward(self, clips):
        self.features = self.backbone(clips.flatten(0, 1))
        return self.head(self.features.mean((2, 3))).unflatten(0, (len(clips), -1)).mean(1)


def clips(batch=6):
    return torch.randn(batch, FRAMES, 3, 8, 8, generator=torch.Generator().manual_seed(2))


def model():
    torch.manual_seed(0)
    return Clips()


def expected(strategy, clean, params):
    """Frame by frame: the frames at one place of all clips are a batch, which is mixed by the decision for the clips."""
    frames = clean.unflatten(0, (-1, FRAMES))
    return torch.stack([strategy.transform(frames[:, t], params) for t in range(FRAMES)], 1).flatten(0, 1)


STRATEGIES = [
    fm.Mixup(lam_per="sample"),
    fm.CutMix(lam_per="sample"),
    fm.MoEx(p=0.5, per="sample"),
    fm.MixStyle(p=1.0),
    fm.PatchUp(),
    fm.CrossNorm(crop="both", box_per="sample", p=1.0),
]


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_all_frames_of_a_clip_share_a_decision(strategy):
    net, x = model(), clips()
    net(x)
    clean = net.features
    with fm.attach(net, fm.At("backbone", strategy, groups=FRAMES), example=x, seed=3) as mixer:
        mix = mixer.draw(x)
        loss = mix.loss(F.cross_entropy, net(x), labels())
        loss.backward()
    params = mix.params["backbone"]
    assert len(params.partner) == 6 * FRAMES
    assert len(mix.mixture) == 6
    with fm.attach(model(), fm.At("backbone", strategy), seed=3) as mixer:
        mixer.shapes = {"backbone": (6, 8, 8)}
        one = mixer.draw(x)
    assert torch.equal(one.mixture.matrix(), mix.mixture.matrix())
    assert torch.allclose(net.features, expected(strategy, clean, one.params["backbone"]), atol=1e-6)
    assert not torch.allclose(net.features, clean, atol=1e-2)


def test_label_weight_is_the_content_of_every_frame():
    strategy, sources = fm.CutMix(lam_per="sample"), torch.arange(6.0).view(6, 1, 1, 1, 1)
    net, x = model(), sources.expand(6, FRAMES, 3, 8, 8)
    net.backbone, net.head = nn.Identity(), nn.Linear(3, 5)
    with fm.attach(net, fm.At("backbone", strategy, groups=FRAMES), example=x, seed=3) as mixer:
        mix = mixer.draw(x)
        net(x)
    assert mix.mixture.weight[:5].min() > 0
    frames = net.features.unflatten(0, (6, FRAMES))
    for row, source in ((i, j) for i in range(6) for j in range(6)):
        content = (frames[row] == source).float().mean((1, 2, 3))
        assert torch.allclose(content, mix.mixture.matrix()[row, source].expand(FRAMES))


def test_without_groups_the_site_is_refused_by_what_to_say():
    net, x = model(), clips()
    message = r"backbone: expected features of the 6 rows that were drawn for, got 24 rows.*At\(site, strategy, groups=4\)"
    with fm.attach(net, {"backbone": fm.MoEx()}) as mixer:
        mixer.draw(x)
        with pytest.raises(fm.FeatmixError, match=message):
            net(x)
    with pytest.raises(fm.FeatmixError, match=message):
        fm.attach(net, {"backbone": fm.MoEx()}, example=x)
    with pytest.raises(fm.FeatmixError, match=r"the 18 rows.*got 24 rows.*groups=4"):
        fm.attach(net, fm.At("backbone", fm.MoEx(), groups=3), example=x)
    with pytest.raises(fm.FeatmixError, match=r"the 24 rows.*got 6 rows.*Draw for the batch"):
        fm.attach(net, fm.At("head", fm.MoEx(), groups=4), example=x[:, :1])


def test_label_maps_of_frames_go_the_way_of_the_frames():
    strategy, net, x = fm.CutMix(lam_per="sample"), model(), clips()
    with fm.attach(net, fm.At("backbone", strategy, groups=FRAMES), example=x, seed=3) as mixer:
        mix = mixer.draw(x)
        net(x)
    maps = torch.arange(6).view(6, 1, 1, 1).expand(6, FRAMES, 8, 8).flatten(0, 1)
    moved = mix.dense_targets(maps)
    frames = maps.view(-1, 1, 8, 8).expand(-1, 3, -1, -1).float()
    assert torch.equal(moved.float(), strategy.transform(frames, mix.params["backbone"])[:, 0])
    assert torch.equal(moved.unflatten(0, (6, FRAMES)), moved[::FRAMES].unsqueeze(1).expand(-1, FRAMES, -1, -1))
    with pytest.raises(fm.FeatmixError, match="24 samples"):
        mix.dense_targets(maps[::FRAMES])


def test_rest_and_eval():
    net, x = model(), clips()
    net(x)
    clean = net.features
    with fm.attach(net, fm.At("backbone", fm.MoEx(p=0.0), groups=FRAMES), example=x) as mixer:
        mixer.draw(x)
        net(x)
        assert torch.equal(net.features, clean)
        assert len(mixer._root.eval()(x)) == len(mixer.draw(x).mixture) == 6


def test_a_mask_is_of_clips():
    net, x = model(), clips()
    mask = torch.ones(6, 8, 8, dtype=torch.bool)
    mask[:, :, 5:] = False
    with fm.attach(net, fm.At("backbone", fm.MoEx("in"), groups=FRAMES), example=x) as mixer:
        mix = mixer.draw(x, mask=mask)
        net(x)
    clean = net.backbone(x.flatten(0, 1))
    assert torch.equal(net.features[..., 5:], clean[..., 5:])
    assert torch.equal(mix.params["backbone"].mask, mask.repeat_interleave(FRAMES, 0))


def test_compiled_in_two_graphs():
    torch._dynamo.reset()
    eager, traced, x, counter = model(), model(), clips(), CompileCounter()
    mixers = [fm.attach(m, fm.At("backbone", fm.Mixup(), groups=FRAMES), seed=1, example=x) for m in (eager, traced)]
    compiled = torch.compile(traced, backend=counter, fullgraph=True)
    for step in range(6):
        if step % 3 == 2:
            losses = [F.cross_entropy(called(x), labels()) for called in (eager, compiled)]
        else:
            losses = [m.draw(x).loss(F.cross_entropy, c(x), labels()) for m, c in zip(mixers, (eager, compiled), strict=True)]
        assert torch.allclose(*losses, atol=1e-6)
    assert counter.frame_count <= 2


def test_a_decision_said_again_for_each_frame_is_the_same():
    x = images()
    for strategy in STRATEGIES:
        params = strategy.make_params(x.shape, generator=torch.Generator().manual_seed(1))
        repeated = params.repeated(3)
        assert type(repeated) is type(params)
        assert repeated.is_tied == params.is_tied
        assert repeated.rests == params.rests
        threefold = x.repeat_interleave(3, 0)
        assert torch.equal(strategy.transform(threefold, repeated)[1::3], strategy.transform(x, params))
        matrix = torch.kron(params.mixture.matrix(), torch.eye(3))
        assert torch.equal(repeated.mixture.matrix(), matrix)


@pytest.mark.parametrize("strategy", [fm.create(name, p=1.0) for name in fm.list_strategies()], ids=lambda s: s.name)
def test_equal_frames_stay_equal(strategy):
    x = images()
    params = strategy.make_params(x.shape, generator=torch.Generator().manual_seed(1)).repeated(3)
    frames = strategy.transform(x.repeat_interleave(3, 0), params).unflatten(0, (6, 3))
    assert torch.equal(frames, frames[:, :1].expand_as(frames))


class OtherWay(Clips):
    def forward(self, clips):
        return self.head(self.backbone(clips.transpose(0, 1).flatten(0, 1)).mean((2, 3))).unflatten(0, (-1, len(clips))).mean(0)


class Views(Clips):
    def forward(self, x):
        return self.head(self.backbone(torch.cat([x, x.flip(-1)])).mean((2, 3))).unflatten(0, (2, -1)).mean(0)


def test_rows_in_another_order_are_refused():
    """Time before samples, or two views one after the other: the labels would be those of other rows."""
    message = r"backbone: expected the 4 rows of a sample one after the other.*got rows \[0, 6, 12, 18\]"
    with pytest.raises(fm.FeatmixError, match=message):
        fm.attach(OtherWay(), fm.At("backbone", fm.Mixup(), groups=FRAMES), example=clips())
    with pytest.raises(fm.FeatmixError, match=r"got rows \[0, 6\] that follow the first sample"):
        fm.attach(Views(), fm.At("backbone", fm.Mixup(), groups=2), example=(images(),))


def test_the_order_is_checked_with_an_example_of_two_samples():
    net = model()
    with pytest.raises(fm.FeatmixError, match="example: expected two samples or more"):
        fm.attach(net, fm.At("backbone", fm.Mixup(), groups=FRAMES), example=clips(1))
    mixer = fm.attach(net, fm.At("backbone", fm.Mixup(), groups=FRAMES))
    with pytest.raises(fm.FeatmixError, match=r"At: groups: expected an example.*attach\(\.\.\., example=clips\)"):
        mixer.draw(clips())


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "4", None])
def test_no_number_of_rows_is_refused(bad):
    with pytest.raises(fm.FeatmixError, match="At: groups: expected a whole number from 1 up"):
        fm.At("backbone", fm.Mixup(), groups=bad)


def test_what_cannot_have_groups_is_refused():
    with pytest.raises(fm.FeatmixError, match=r"At: site: expected a module, for output= and groups=.*\(B, T, \.\.\.\)"):
        fm.At("input", fm.Mixup(), groups=4)
    with pytest.raises(fm.FeatmixError, match="At: groups: expected 1 for a strategy that remembers, got 4"):
        fm.At("backbone", fm.MoEx(memory=16), groups=4)

    class Remembering(fm.MixStyle):
        def remember(self, x, params):
            pass

    with pytest.raises(fm.FeatmixError, match="that remembers"):
        fm.At("backbone", Remembering(), groups=4)
