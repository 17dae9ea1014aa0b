"""Which functions draw nothing; for those no generator is kept, seeded and put back."""

import functools
import random

import numpy as np
import pytest
import torch

import featmix as fm
from featmix.pipeline.generators import Sources
from featmix.pipeline.still import draws_nothing
from tests.interop.real_torchvision import torchvision_or_skip

FACTOR, TABLE, PAIR = 3, np.arange(4), [2, 3]


def half(image):
    return image[:, : image.shape[1] // 2]


def by_another(image):
    return [half(each) * FACTOR for each in np.flip(image, (0,))]


def with_default(image, by=random.random):
    return image + by()


def around(inner):
    return lambda image: inner(image) + 1


def noise(image):
    return image + np.random.rand()


def recursive(image, depth=2):
    return recursive(image.copy(), depth - 1) if depth else image


STILL = [
    lambda image: image,
    lambda image: image[:, ::-1].copy(),
    lambda image: torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float().div(255),
    lambda image: [x * y for x, y in zip(image, TABLE, strict=False)],
    lambda image: image.flip(-1) + max(FACTOR, len(PAIR)),
    half,
    by_another,
    around(half),
    recursive,
]
DRAWING = [
    noise,
    with_default,
    around(noise),
    around(torch.nn.Identity()),
    functools.partial(half),
    torch.rand_like,
    np.random.permutation,
    torch.nn.Dropout(),
    lambda image: image + torch.randn(()),
    lambda image: image.clone().normal_(),
    lambda image: getattr(np, "random").rand() + image,  # noqa: B009
    lambda image: torch.nn.functional.dropout(image),
    lambda image: image + random.random(),
    lambda image: __import__("random").random() + image,
    lambda image: not_there(image),  # noqa: F821
    lambda image: [noise(each) for each in image],
    lambda image: (lambda each: each.bernoulli())(image),
    lambda image: FACTOR.__class__(3) * image,
]


@pytest.mark.parametrize("function", STILL)
def test_what_is_known_to_draw_nothing(function):
    assert draws_nothing(function)
    assert Sources(function).none


@pytest.mark.parametrize("function", DRAWING)
def test_whatever_else_may_draw(function):
    assert not draws_nothing(function)


def test_transforms_of_torchvision_that_draw_nothing_are_known():
    v2 = torchvision_or_skip("torchvision.transforms.v2")
    still = [v2.Resize(4), v2.CenterCrop(3), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5], [0.5])]
    assert Sources(v2.Compose(still)).none
    assert not Sources(v2.Compose([*still, v2.RandomHorizontalFlip()])).none
    assert not Sources(v2.Compose([v2.Lambda(noise)])).none
    image = torch.rand(1, 8, 8)
    with torch.random.fork_rng():
        before = torch.random.get_rng_state()
        v2.Compose(still)(image)
        assert torch.equal(before, torch.random.get_rng_state())


def test_a_function_that_imports_or_is_not_closed_yet_may_draw():
    def imports(image):
        import random as generators

        return image + generators.random()

    def early():
        def uses(image):
            return later(image)

        found = draws_nothing(uses)
        later = noise
        return found, later

    assert not draws_nothing(imports)
    assert not early()[0]


def test_no_state_is_kept_for_an_item_that_draws_nothing_and_items_count_as_before(monkeypatch):
    kept = []
    monkeypatch.setattr(np.random, "get_state", lambda get=np.random.get_state: kept.append("NumPy's") or get())
    monkeypatch.setattr(random, "getstate", lambda get=random.getstate: kept.append("Python's") or get())
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    seen = {}
    for name, sample in (("still", lambda image: image[:, ::-1]), ("drawing", noise)):
        pipeline = fm.Pipeline(sample=sample, seed=0)
        dataset = pipeline.dataset([(image, 1)] * 4)
        assert [dataset[k][1] for k in range(3)] == [1, 1, 1]
        seen[name] = len(kept), pipeline.state_dict()
        kept.clear()
    assert (seen["still"][0], seen["drawing"][0]) == (0, 6)
    assert seen["still"][1] == seen["drawing"][1]
