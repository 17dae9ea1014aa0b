import numpy as np
import pytest
import torch

from featmix.compare.feeding import to_floats
from featmix.compare.network import SmallResNet
from featmix.normalizers.kinds import list_normalizers, normalizer
from featmix.probe.parts import MOMENTS, NORMALIZED, Features, features_at

RANDOM = torch.Generator().manual_seed(0)
FEATURES = Features(torch.randn(6, 8, 4, 5, generator=RANDOM), torch.randn(3, 8, 4, 5, generator=RANDOM))


@pytest.mark.parametrize("name", ["pono", "in", "ln", "gn4", "gpono2", "bn"])
def test_moments_and_what_they_leave_make_up_the_features(name):
    norm = normalizer(name)
    parts = {part: (train, test) for part, train, test in FEATURES.split(norm)}
    for number, x in enumerate((FEATURES.train, FEATURES.test)):
        moments = norm.moments(FEATURES.train if norm.over_batch else x)
        mean, std = (
            np.broadcast_to(part.flatten(1).numpy(), (len(x), part[0].numel())) for part in (moments.mean, moments.std)
        )
        assert np.allclose(parts[MOMENTS][number], np.concatenate([mean, std], 1))
        left = torch.from_numpy(parts[NORMALIZED][number]).reshape(norm.view(x).shape)
        assert torch.allclose((left * moments.std + moments.mean).reshape(x.shape), x, atol=1e-5)


def test_batch_norm_tells_samples_nothing():
    moments = {part: test for part, _, test in FEATURES.split(normalizer("bn"))}[MOMENTS]
    assert (moments == moments[0]).all()


def test_every_normalizer_can_be_probed():
    for name in list_normalizers():
        if "<" not in name:
            assert all(len(train) == 6 and len(test) == 3 for _, train, test in FEATURES.split(normalizer(name)))


def test_features_are_those_of_the_layer_in_eval_mode():
    network = SmallResNet(10).train()
    pixels = torch.randint(256, (5, 3, 8, 8), dtype=torch.uint8, generator=RANDOM)
    wanted = network.eval().layer1(network.stem(to_floats(pixels)))
    assert torch.allclose(features_at(network.train(), "layer1", pixels, torch.device("cpu")), wanted, atol=1e-6)
    assert torch.equal(features_at(network, "input", pixels, torch.device("cpu")), to_floats(pixels))
    assert not network._forward_hooks
