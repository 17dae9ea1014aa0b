import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Generator, nn
from torch.utils.data import DataLoader, default_collate

import featmix as fm
from featmix import FeatmixError
from featmix.interop.torchvision import from_torchvision, to_torchvision, tree_from_torchvision
from featmix.sampling.boxes import boxes
from tests.interop.real_torchvision import torchvision_or_skip

v2 = torchvision_or_skip("torchvision.transforms.v2")
tv = torchvision_or_skip("torchvision.tv_tensors")

X = torch.rand(5, 3, 9, 7, generator=Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 1, 0])
BEFORE = torch.arange(5).roll(1)


class Drawn:
    """In place of torch's Beta: λ as it is told."""

    def __init__(self, lam):
        self.lam = lam

    def sample(self, shape):
        return torch.tensor([self.lam])


# -- torchvision in featmix --------------------------------------------------------------------------------------------


def test_settings_are_taken_over():
    mixup = from_torchvision(v2.MixUp(alpha=0.3, num_classes=3), p=0.5)
    assert isinstance(mixup, fm.Mixup)
    assert (mixup.alpha, mixup.num_classes, mixup.p, mixup.lam_per, mixup.partner) == (0.3, 3, 0.5, "batch", "derangement")
    cutmix = from_torchvision(v2.CutMix(alpha=2.0), partner="crossdomain")
    assert isinstance(cutmix, fm.CutMix)
    assert (cutmix.alpha, cutmix.num_classes, cutmix.partner) == (2.0, None, "crossdomain")


def test_mixup_is_torchvisions_for_the_same_decision():
    theirs = v2.MixUp(num_classes=3)
    params = from_torchvision(theirs).make_params(X.shape, partner=BEFORE, generator=Generator().manual_seed(0))
    theirs._dist = Drawn(float(params.lam[0]))
    images, soft = theirs(X, Y)
    torch.testing.assert_close(fm.Mixup().transform(X, params), images)
    torch.testing.assert_close(params.mixture.dense(Y, 3), soft)


def test_boxes_are_torchvisions_for_the_same_draws(monkeypatch):
    theirs, sizes, random = v2.CutMix(num_classes=3), (9, 7), np.random.default_rng(0)
    for _ in range(300):
        lam = random.random()
        centre = [int(random.integers(size)) for size in sizes]
        places = iter(reversed(centre))  # torchvision draws the column first
        points = ((place + 0.5) / size for place, size in zip(centre, sizes, strict=True))
        theirs._dist = Drawn(lam)
        with monkeypatch.context() as patched:
            patched.setattr(torch, "randint", lambda high, size, places=places: torch.tensor([next(places)]))
            x1, y1, x2, y2 = theirs.make_params([X])["box"]
            ours = boxes(SimpleNamespace(random=lambda points=points: next(points)), sizes, np.array([lam]))
        assert ours.tolist() == [[[y1, y2], [x1, x2]]]


def test_cutmix_is_torchvisions_for_the_same_box(monkeypatch):
    theirs = v2.CutMix(num_classes=3)
    params = from_torchvision(theirs).make_params(X.shape, partner=BEFORE, generator=Generator().manual_seed(1))
    (y1, y2), (x1, x2) = params.box[0].tolist()
    monkeypatch.setattr(theirs, "make_params", lambda _: {"box": (x1, y1, x2, y2), "lam_adjusted": float(params.lam[0])})
    images, soft = theirs(X, Y)
    assert torch.equal(fm.CutMix().transform(X, params), images)
    torch.testing.assert_close(params.mixture.dense(Y, 3), soft)


def test_what_torchvision_does():
    mixup = v2.MixUp(num_classes=3).eval()
    images, _ = mixup(X, Y)
    assert not torch.equal(images, X)  # in eval mode
    with pytest.raises(RuntimeError, match="cast"):
        mixup((X * 255).byte(), Y)
    with pytest.raises(RuntimeError):
        mixup(X, torch.rand(5))  # regression
    with pytest.raises(ValueError, match="masks"):
        mixup({"image": tv.Image(X), "mask": tv.Mask(torch.zeros(5, 9, 7)), "labels": Y})
    strengths = torch.tensor([float(v2.MixUp(alpha=1e-3)._dist.sample(())) for _ in range(1000)])
    assert float(((strengths > 0.4) & (strengths < 0.6)).double().mean()) > 0.1


def test_mended():
    for strategy in (from_torchvision(v2.MixUp()), from_torchvision(v2.CutMix())):
        y, soft = strategy(X, torch.rand(5), generator=torch.Generator().manual_seed(0))  # a box may be empty
        assert not torch.equal(y, X)
        assert soft.shape == (5,)
        assert torch.equal(strategy.eval()(X), X)


def test_from_torchvision_refuses():
    class Mine(v2.MixUp):
        pass

    for other in (Mine(), v2.RandomErasing(), nn.Identity()):
        with pytest.raises(FeatmixError, match="MixUp or CutMix"):
            from_torchvision(other)


def test_a_choice_of_mixers_is_one_of_them_each_step():
    choice = v2.RandomChoice([v2.CutMix(alpha=2.0, num_classes=3), v2.MixUp(alpha=0.3)], p=[1, 3])
    tree = tree_from_torchvision(choice, p=0.5)
    assert [(leaf.site, leaf.strategy.name, leaf.strategy.alpha, leaf.strategy.p) for leaf in tree.leaves()] == [
        ("input", "cutmix", 2.0, 0.5),
        ("input", "mixup", 0.3, 0.5),
    ]
    assert tree.weights == [0.25, 0.75]
    assert tree_from_torchvision(v2.MixUp()).site == "input"
    with pytest.raises(FeatmixError, match="tree_from_torchvision"):
        from_torchvision(choice)
    with pytest.raises(FeatmixError, match="MixUp or CutMix"):
        tree_from_torchvision(v2.RandomChoice([v2.MixUp(), v2.RandomErasing()]))
    with pytest.raises(FeatmixError, match="tree_from_torchvision"):
        fm.Pipeline(batch=choice)


def test_a_raw_mixer_in_a_tree_is_sent_to_its_adapter():
    with pytest.raises(FeatmixError, match="from_torchvision"):
        fm.Pipeline(mix={"input": v2.CutMix()})


# -- featmix in torchvision --------------------------------------------------------------------------------------------


def test_in_compose():
    mix = to_torchvision(fm.CutMix(num_classes=3))
    pipeline = v2.Compose([v2.RandomHorizontalFlip(p=1.0), mix])
    images, soft = pipeline(X, Y)
    assert torch.equal(images, mix.strategy.transform(X.flip(-1), mix.decision))
    torch.testing.assert_close(soft, mix.decision.mixture.dense(Y, 3))
    mix.eval()
    images, soft = pipeline(X, Y)
    assert torch.equal(images, X.flip(-1))
    assert torch.equal(soft, nn.functional.one_hot(Y, 3).float())


class Samples(torch.utils.data.Dataset):
    def __len__(self):
        return len(X)

    def __getitem__(self, index):
        return X[index], Y[index]


class Collate:
    def __init__(self):
        self.mix = to_torchvision(fm.Mixup(), num_classes=3)

    def __call__(self, samples):
        return self.mix(*default_collate(samples))


@pytest.mark.parametrize("workers", [0, 2])
def test_as_collate(workers):
    loader = DataLoader(Samples(), batch_size=5, num_workers=workers, collate_fn=Collate())
    images, soft = next(iter(loader))
    assert images.shape == X.shape
    torch.testing.assert_close(soft.sum(1), torch.ones(5))
    assert not torch.equal(images, X)


def test_nested_samples():
    mix = to_torchvision(fm.CutMix())
    maps = torch.arange(5).view(5, 1, 1).expand(5, 9, 7)
    sample = {
        "image": tv.Image(X),
        "more": {"other": tv.Image(maps.unsqueeze(1).float()), "mask": tv.Mask(maps)},
        "labels": torch.eye(5),
        "names": ["a", "b", "c", "d", "e"],
        "weight": torch.ones(5),
    }
    out = mix(sample)
    assert isinstance(out["image"], tv.Image)
    assert isinstance(out["more"]["mask"], tv.Mask)
    assert torch.equal(out["more"]["other"][:, 0].long(), out["more"]["mask"])
    torch.testing.assert_close(out["labels"], mix.decision.mixture.matrix())
    assert out["names"] == sample["names"]
    assert torch.equal(out["weight"], sample["weight"])
    assert torch.equal(sample["image"], X)  # the caller's own is left alone


def test_boxes_stay_where_labels_do():
    boxes = tv.BoundingBoxes(torch.tensor([[0, 0, 2, 2]] * 5), format="XYXY", canvas_size=(9, 7))
    images, out = to_torchvision(fm.MixStyle(p=1.0))(tv.Image(X), boxes)
    assert torch.equal(out, boxes)
    assert not torch.equal(images, X)
    with pytest.raises(FeatmixError, match="BoundingBoxes"):
        to_torchvision(fm.CutMix())({"image": tv.Image(X), "boxes": boxes, "labels": torch.eye(5)})


def test_where_labels_are():
    mix = to_torchvision(fm.Mixup(), num_classes=3)
    for sample in ((X, Y), [X, Y], (X, {"labels": Y}), {"image": X, "labels": Y}):
        mixed, _ = torch.utils._pytree.tree_flatten(mix(sample))
        assert mixed[1].shape == (5, 3)
    by = to_torchvision(fm.Mixup(), num_classes=3, labels_getter=lambda sample: sample["target"])
    assert by({"image": X, "target": Y})["target"].shape == (5, 3)
    alone = to_torchvision(fm.Mixup(), labels_getter=None)
    assert alone(X).shape == X.shape
    assert to_torchvision(fm.MixStyle())(X).shape == X.shape


def test_torchs_seed_decides():
    mix = to_torchvision(fm.CutMix(num_classes=3))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        first = mix(X, Y)
        torch.manual_seed(1)
        again = pickle.loads(pickle.dumps(mix))(X, Y)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


def test_to_torchvision_refuses():
    mix = to_torchvision(fm.Mixup(), num_classes=3)
    with pytest.raises(FeatmixError, match="a call before"):
        mix.decision  # noqa: B018
    with pytest.raises(FeatmixError, match="labels_getter=None"):
        mix(X)
    with pytest.raises(FeatmixError, match="labels"):
        mix(X, "a string")
    with pytest.raises(FeatmixError, match="batch of images"):
        mix({"labels": Y})
    with pytest.raises(FeatmixError, match="very tensor"):
        to_torchvision(fm.Mixup(), num_classes=3, labels_getter=lambda sample: sample[1].clone())(X, Y)
    with pytest.raises(FeatmixError, match="a strategy"):
        to_torchvision(v2.MixUp())
    with pytest.raises(FeatmixError, match="labels_getter"):
        to_torchvision(fm.Mixup(), labels_getter="second")
