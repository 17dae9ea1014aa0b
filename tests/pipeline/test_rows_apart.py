import pytest
import torch
from torch import nn

import featmix as fm

IMAGES = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def prepared(batch, images=IMAGES):
    with fm.Pipeline(batch=batch, seed=0).attach(nn.Flatten()) as mixer:
        return mixer.prepare(images)


def shuffles(x):
    return x[torch.randperm(len(x))]


def blends(x):
    return 0.6 * x + 0.4 * x.roll(1, 0)


def pastes(x):
    y = x.clone()
    y[:, :, :4] = x.roll(1, 0)[:, :, :4]
    return y


def sometimes(x):
    return shuffles(x) if torch.rand(()) < 0.6 else x


class Pairs(nn.Module):
    def forward(self, x):
        return torch.maximum(x, x.flip(0))


@pytest.mark.parametrize("batch", [shuffles, blends, pastes, sometimes, Pairs(), lambda x: x.flip(0)])
def test_what_brings_content_of_another_sample_is_refused(batch):
    with pytest.raises(fm.FeatmixError, match="Pipeline: batch: expected transforms that leave each sample its own label"):
        prepared(batch)


@pytest.mark.parametrize(
    "batch",
    [
        lambda x: x.flip(-1),
        lambda x: x + 0.3 * torch.randn_like(x),
        lambda x: x * (torch.rand(len(x), 1, 1, 1) < 0.5),
        lambda x: x - x.mean(),
        lambda x: (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True),
        lambda x: x[..., torch.randperm(x.shape[-1])],
        nn.Identity(),
        nn.Dropout(0.5),
    ],
)
def test_what_leaves_each_row_its_own_content_passes(batch):
    assert prepared(batch).shape == IMAGES.shape


def test_a_callable_is_tried_once_and_what_it_draws_stays_the_same():
    calls, plain = [], fm.Pipeline(batch=lambda x: x + torch.randn_like(x), seed=0)

    def counted(x):
        calls.append(len(x))
        return x + torch.randn_like(x)

    with fm.Pipeline(batch=counted, seed=0).attach(nn.Flatten()) as mixer, plain.attach(nn.Flatten()) as other:
        global_state = torch.get_rng_state()
        first = mixer.prepare(IMAGES)
        tried = len(calls)
        second = mixer.prepare(IMAGES)
        assert len(calls) == tried + 1
        assert torch.equal(first, other.prepare(IMAGES))
        assert torch.equal(second, other.prepare(IMAGES))
        assert torch.equal(torch.get_rng_state(), global_state)


def test_what_fails_when_it_is_tried_is_not_judged():
    def of_six(x):
        if len(x) != 6 or float(x.max()) > 0.9999:
            raise ValueError("six")
        return x

    assert prepared(of_six, 0.5 * IMAGES).shape == IMAGES.shape


def test_one_row_alone_has_no_others():
    assert prepared(shuffles, IMAGES[:1]).shape == (1, 3, 8, 8)


@pytest.mark.parametrize("rows", [2, 3, 4])
def test_a_mean_over_few_rows_is_no_content_of_another(rows):
    assert prepared(lambda x: x - x.mean(0), IMAGES[:rows]).shape == (rows, 3, 8, 8)
    with pytest.raises(fm.FeatmixError, match="each sample its own label"):
        prepared(lambda x: x.flip(0), IMAGES[:rows])
