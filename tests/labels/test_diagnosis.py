"""Why a criterion failed, found out after it did; what it does not know is left to torch's own words."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from featmix import FeatmixError, Mixture
from featmix.labels.diagnosis import counting, how_to_tensor, why_it_failed

Y = torch.tensor([0, 1, 2])


def test_labels_on_another_device():
    why = why_it_failed(RuntimeError("Expected all tensors on one device"), None, torch.zeros(3, 5, device="meta"), Y, None)
    assert "target: expected labels on the output's device, got cpu, and an output on meta" in str(why)
    assert "labels = labels.to(output.device)" in str(why)


@pytest.mark.parametrize(
    ("output", "target", "said"),
    [
        (torch.zeros(3, 5), torch.tensor([0, -1, 2]), "A negative label"),
        (torch.zeros(3, 5), torch.tensor([0, 7, 2]), "at least 8 classes"),
        (torch.zeros(3, 5, 2), torch.full((3, 2), 5), "at least 6 classes"),
    ],
)
def test_classes_out_of_range(output, target, said):
    assert said in str(why_it_failed(IndexError("Target out of bounds"), F.cross_entropy, output, target, -100))


def test_what_is_ignored_is_not_out_of_range():
    ignored = torch.tensor([0, -100, 2])
    assert why_it_failed(RuntimeError("something else"), F.cross_entropy, torch.zeros(3, 5), ignored, -100) is None


def test_other_failures_keep_their_own_words():
    def fails(output, target):
        raise ZeroDivisionError("of one's own")

    mixture = Mixture.pair(torch.tensor([1, 2, 0]), torch.full((3,), 0.75))
    with pytest.raises(ZeroDivisionError, match="of one's own"):
        mixture.loss(fails, torch.zeros(3, 5), Y)
    with pytest.raises(FeatmixError, match="reduction='none'"):  # a refusal is passed on as it is
        mixture.loss(lambda output, target: 1.0, torch.zeros(3, 5), Y)
    with pytest.raises(TypeError):
        mixture.loss(nn.CrossEntropyLoss().forward, torch.zeros(3, 5), Y, 1)


def test_words():
    assert counting(-1, 3, 5).startswith("A negative")
    assert how_to_tensor("target", object()) == ""
    assert how_to_tensor("output", {}) == ""
    assert how_to_tensor("target", torch.zeros(2).numpy()) == "Write torch.from_numpy(target)."
