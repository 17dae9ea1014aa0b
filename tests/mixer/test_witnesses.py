"""The dry run compares how features are read with what the layers on the way say."""

import pytest
import torch
from torch import nn

import featmix as fm
from featmix import FeatmixError


class Permuted(nn.Module):
    """Channels last inside, as in Swin: a block without a word of it."""

    def __init__(self, width=6):
        super().__init__()
        self.stem, self.fc = nn.Conv2d(3, width, 3, padding=1), nn.Linear(width, width)
        self.block, self.after = nn.Identity(), nn.ReLU()

    def forward(self, x):
        x = self.block(self.stem(x).permute(0, 2, 3, 1))
        return self.after(x + self.fc(x.flatten(1, 2)).view(x.shape))


class Frames(nn.Module):
    """Videos (B, T, C, H, W), frame by frame."""

    def __init__(self):
        super().__init__()
        self.conv, self.join = nn.Conv2d(3, 8, 3, padding=1), nn.Identity()

    def forward(self, x):
        y = self.conv(x.flatten(0, 1))
        return self.join(y.unflatten(0, x.shape[:2]))


@pytest.mark.parametrize("site", ["block", "after"])
@pytest.mark.parametrize("strategy", [fm.CutMix, fm.MoEx])
def test_channels_last_is_found_out(site, strategy):
    model, x = Permuted(), torch.randn(2, 3, 9, 10)
    message = rf"{site}: expected features as (Conv2d|Linear) with 6 channels gives them.*got layout 'bchw'.*layout='bhwc'"
    with pytest.raises(FeatmixError, match=message):
        fm.attach(model, {site: strategy()}, example=x)
    assert not model._forward_hooks
    with fm.attach(model, {site: strategy(layout="bhwc")}, example=x, seed=0) as mixer:
        mix = mixer.draw(x, target=torch.arange(2))
        model.train()(x)
        assert mix.params[site].active.all()


def test_frames_before_channels_are_found_out():
    model, x = Frames(), torch.randn(2, 5, 3, 7, 7)
    for site, count in (("input", 3), ("join", 8)):
        with pytest.raises(FeatmixError, match=rf"{site}: .*Conv2d with {count} channels.*got layout 'bcdhw'.*'btchw'"):
            fm.attach(model, {site: fm.MoEx()}, example=x)
        fm.attach(model, {site: fm.MoEx(layout="btchw")}, example=x).remove()


def test_images_with_channels_last_are_found_out_at_the_input():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x.permute(0, 3, 1, 2))

    with pytest.raises(FeatmixError, match=r"CutMix: input: .*Conv2d with 3 channels.*layout='bhwc'"):
        fm.attach(Model(), {"input": fm.CutMix()}, example=torch.randn(2, 8, 8, 3))


def test_an_activation_of_a_sequence_is_as_the_layer_before():
    model, x = nn.Sequential(nn.Conv1d(3, 8, 3, padding=1), nn.ReLU()), torch.randn(2, 3, 20)
    with pytest.raises(FeatmixError, match=r"1: .*Conv1d with 8 channels.*got layout 'bnc'.*layout='bcn'"):
        fm.attach(model, {"1": fm.MoEx()}, example=x)
    square = torch.randn(2, 3, 8)  # as many positions as channels: the layer's kind decides
    with pytest.raises(FeatmixError, match="layout='bcn'"):
        fm.attach(model, {"1": fm.MoEx()}, example=square)


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.PixelShuffle(2), nn.MaxPool2d(2)),
        nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.Sequential(nn.Conv2d(5, 5, 1), nn.BatchNorm2d(5)), nn.ReLU()),
        nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(2), nn.Linear(64, 64)),
    ],
    ids=["shuffled", "plain", "positions mixed"],
)
def test_what_is_read_as_it_is_passes(model):
    x = torch.randn(2, 3, 8, 8)
    last = "bcn" if model[:2](x).ndim == 3 else None
    fm.attach(model, {"0": fm.Mixup(), "1": fm.Mixup(layout=last)}, example=x).remove()


def test_what_is_said_is_believed():
    model, x = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.Flatten(2)), torch.randn(2, 3, 8, 8)
    with pytest.raises(FeatmixError, match="Conv2d with 16 channels"):
        fm.attach(model, {"1": fm.MoEx()}, example=x)
    fm.attach(model, {"1": fm.MoEx(layout="bnc")}, example=x).remove()


def test_nothing_is_left_on_the_model():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    fm.attach(model, {"1": fm.MoEx()}, example=torch.randn(2, 3, 8, 8)).remove()
    assert not any(module._forward_hooks for module in model.modules())
