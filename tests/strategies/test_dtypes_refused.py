"""What cannot be computed with is told what to do, by what it is."""

import pytest
import torch

import featmix as fm
from featmix import FeatmixError

ADVICE = {
    torch.uint8: r"convert first, x\.float\(\) / 255",
    torch.int64: "ids of tokens.*what the embedding returns",
    torch.int32: "ids of tokens.*what the embedding returns",
    torch.int16: r"convert first, x\.float\(\)\.",
    torch.bool: r"x\.float\(\)",
    torch.complex64: r"x\.abs\(\).*view_as_real",
    torch.float8_e4m3fn: r"x\.to\(torch\.bfloat16\)",
}


@pytest.mark.parametrize("dtype", ADVICE)
def test_the_advice_is_for_what_came(dtype):
    x = torch.zeros(3, 4, 5, 5).to(dtype)
    with pytest.raises(FeatmixError, match=rf"Mixup: x: expected a floating tensor.*{ADVICE[dtype]}") as refused:
        fm.Mixup()(x)
    assert ("255" in str(refused.value)) == (dtype == torch.uint8)


def test_the_advice_for_complex_values_works():
    x = torch.randn(3, 4, 5, 5, dtype=torch.complex64)
    assert fm.Mixup()(torch.view_as_real(x).movedim(-1, 1).flatten(1, 2)).shape == (3, 8, 5, 5)


@pytest.mark.parametrize(("ndim", "advice"), [(1, r"unsqueeze\(-1\)"), (6, "Name all 6 axes"), (7, "Name all 7 axes")])
def test_other_numbers_of_axes(ndim, advice):
    with pytest.raises(FeatmixError, match=advice):
        fm.Mixup()(torch.randn((2,) * ndim))
