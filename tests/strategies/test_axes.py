"""Which axis is what: masks and prefix tokens that fit, and those that do not."""

import pytest
import torch

import featmix as fm

SHAPE = (3, 6, 4)
REAL = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]]).bool()


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (REAL.float(), "a bool tensor"),
        (REAL[:, :5], r"shape \(3, 6\): the batch and the positions"),
        (REAL[:2], r"shape \(3, 6\)"),
        ([True], "a bool tensor"),
    ],
)
def test_masks_that_do_not_fit_are_refused(mask, expected):
    with pytest.raises(fm.FeatmixError, match=f"mask: expected {expected}"):
        fm.MoEx("in", layout="bnc").make_params(SHAPE, mask=mask)


@pytest.mark.parametrize(
    ("settings", "shape", "expected"),
    [
        ({"num_prefix_tokens": 1}, (3, 4, 5, 5), "one axis of positions"),
        ({"num_prefix_tokens": -1}, (3, 6, 4), "a whole number from 0 up"),
        ({"num_prefix_tokens": 6}, (3, 6, 4), "more positions than the prefix of 6"),
    ],
)
def test_prefixes_that_do_not_fit_are_refused(settings, shape, expected):
    with pytest.raises(fm.FeatmixError, match=expected):
        fm.Mixup(**settings).make_params(shape)
    if settings["num_prefix_tokens"] == 1:
        with pytest.raises(fm.FeatmixError, match=expected):
            fm.Mixup(layout="bchw", **settings)
