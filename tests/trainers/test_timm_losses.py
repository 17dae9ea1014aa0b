"""timm's criteria by the shares of each row: the sum of what they say of one row alone, over its labels."""

import pytest
import torch
from torch import nn

import featmix as fm
from featmix.trainers.timm_losses import mixed_by
from tests.interop.real_torchvision import torchvision_or_skip

torchvision_or_skip()  # timm imports it
pytest.importorskip("timm")

from timm import loss as theirs  # noqa: E402

ROWS, CLASSES = 5, 4
HARD = torch.arange(ROWS) % CLASSES
SOFT = torch.rand(ROWS, CLASSES, generator=torch.Generator().manual_seed(0)).double()


def attached(**settings):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, CLASSES)).double()
    return model, fm.attach(model, {"0": fm.Mixup(lam_per="sample", per="sample", p=0.8, **settings)}, seed=3, auto=True)


@pytest.mark.parametrize(
    ("criterion", "target"),
    [
        (theirs.SoftTargetCrossEntropy(), SOFT),
        (theirs.LabelSmoothingCrossEntropy(0.2), HARD),
        (theirs.BinaryCrossEntropy(0.2), HARD),
        (theirs.BinaryCrossEntropy(0.2, sum_classes=True), HARD),
        (theirs.BinaryCrossEntropy(0.2, sum_classes=True), SOFT),
        (theirs.BinaryCrossEntropy(0.2, smooth_dense=True, pos_weight=torch.tensor(2.0)), SOFT),
        (theirs.AsymmetricLossSingleLabel(), HARD),
        (theirs.PolyCrossEntropy(), HARD),
        (nn.CrossEntropyLoss(label_smoothing=0.2), HARD),
    ],
    ids=[
        "soft",
        "smoothing",
        "binary",
        "binary, summed",
        "binary, soft and summed",
        "several labels",
        "asymmetric",
        "poly",
        "torch's own",
    ],
)
def test_rows_of_any_share(criterion, target):
    model, mixer = attached()
    x = torch.randn(ROWS, 6, dtype=torch.float64)
    output = model(x)
    loss = mixed_by(mixer, criterion)(output, target)
    mixture = mixer.mix.mixture
    assert len(mixture.weight[:, 0].unique()) > 2
    shares = [
        (weight, criterion(output[row : row + 1], target[index : index + 1]))
        for row in range(ROWS)
        for weight, index in zip(mixture.weight[row], mixture.index[row], strict=True)
    ]
    expected = sum(weight * alone for weight, alone in shares) / ROWS
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0, check_dtype=False)  # Poly1 rounds
    model.eval()
    output = model(x)
    torch.testing.assert_close(mixed_by(mixer, criterion)(output, target), criterion(output, target), rtol=1e-12, atol=0)


@pytest.mark.parametrize("target", [HARD, SOFT], ids=["hard", "soft"])
def test_a_threshold_sees_mixed_targets(target):
    criterion = theirs.BinaryCrossEntropy(0.2, target_threshold=0.3)
    model, mixer = attached()
    output = model(torch.randn(ROWS, 6, dtype=torch.float64))
    loss = mixed_by(mixer, criterion)(output, target)
    dense = target if target is SOFT else nn.functional.one_hot(target, CLASSES).double() * 0.8 + 0.05
    hard = (mixer.mix.mixture.matrix().double() @ dense > 0.3).double()
    torch.testing.assert_close(loss, nn.functional.binary_cross_entropy_with_logits(output, hard), rtol=1e-7, atol=0)
    assert len(hard.sum(1).unique()) > 1
    model.eval()
    output = model(torch.randn(ROWS, 6, dtype=torch.float64))
    torch.testing.assert_close(mixed_by(mixer, criterion)(output, target), criterion(output, target), rtol=1e-7, atol=0)
