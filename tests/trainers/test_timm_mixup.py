"""timm's Mixup beside ours, both executed: the same tensors for the same decision, the same distribution, exact labels."""

import inspect

import numpy as np
import pytest
import torch

import featmix as fm
from featmix.sampling.draws import stream
from featmix.trainers.timm import Mixup
from tests.interop.real_torchvision import torchvision_or_skip

MODES = ["batch", "pair", "elem"]
BOTH = {"mixup_alpha": 0.8, "cutmix_alpha": 1.0}


@pytest.fixture(scope="module")
def theirs():
    """The module of timm's own."""
    torchvision_or_skip()  # timm imports it
    pytest.importorskip("timm")
    import timm.data.mixup

    return timm.data.mixup


def batch(rows, classes=5, size=9):
    generator = torch.Generator().manual_seed(rows)
    return torch.rand(rows, 3, size, size, generator=generator), torch.arange(rows) % classes


def forced(theirs, monkeypatch, settings, decided):
    """timm's Mixup, made to take our decision: strengths and kinds of all units, and boxes in the order in which it asks."""
    blend, paste, _ = decided
    rows, mode = len(blend.partner), settings["mode"]
    units = {"batch": 1, "pair": rows // 2, "elem": rows}[mode]
    lam = torch.where(paste.active, paste.lam, blend.lam).double().numpy()[:units]
    pastes = paste.active.numpy()[:units]
    boxes = iter([(box[0, 0], box[0, 1], box[1, 0], box[1, 1]) for box in paste.box.numpy()[:units][pastes]])
    shares = iter(lam[pastes])
    monkeypatch.setattr(theirs.Mixup, "_params_per_batch", lambda self: (float(lam[0]), bool(pastes[0])))
    monkeypatch.setattr(theirs.Mixup, "_params_per_elem", lambda self, n: (lam.astype(np.float32), pastes))
    monkeypatch.setattr(theirs, "cutmix_bbox_and_lam", lambda *_, **__: (next(boxes), next(shares)))
    return theirs.Mixup(**settings)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("more", [{}, {"mixup_alpha": 0.0}, {"cutmix_alpha": 0.0}, {"cutmix_minmax": (0.2, 0.8), "prob": 0.5}])
def test_the_same_decision_gives_the_tensors_of_timm(theirs, monkeypatch, mode, more):
    from timm.loss import SoftTargetCrossEntropy

    settings = {**BOTH, "num_classes": 5, "mode": mode, **more}
    mixup_fn, (x, y) = Mixup(**settings), batch(6)
    scores = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    kinds = set()
    for seed in range(9):
        decided = mixup_fn.decide(6, (9, 9), stream(torch.Generator().manual_seed(seed)))
        kinds |= {(bool(blend), bool(paste)) for blend, paste in zip(decided[0].active, decided[1].active, strict=True)}
        mixed, soft = mixup_fn.transform(x, *decided[:2]), decided[2].dense(mixup_fn.soft(y))
        expected, labels = forced(theirs, monkeypatch, settings, decided)(x.clone(), y)
        torch.testing.assert_close(mixed, expected, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(soft, labels, rtol=1e-6, atol=1e-7)
        loss = SoftTargetCrossEntropy()
        torch.testing.assert_close(loss(scores, soft), loss(scores, labels), rtol=1e-6, atol=0)
    wanted = {(True, False)} if settings["mixup_alpha"] else set()
    wanted |= {(False, True)} if settings["cutmix_alpha"] else set()
    assert wanted <= kinds


def alike(first, second):
    """Two samples of one distribution, by Kolmogorov and Smirnov: one pair in a thousand would fail, and seeds are fixed."""
    both, (n, m) = np.concatenate([first, second]), (len(first), len(second))
    shares = [np.searchsorted(np.sort(sample), both, "right") / len(sample) for sample in (first, second)]
    assert np.abs(shares[0] - shares[1]).max() < 1.95 * np.sqrt((n + m) / (n * m))


@pytest.mark.parametrize("minmax", [None, (0.2, 0.7)])
def test_it_draws_as_timm_does(theirs, minmax):
    count, size = 12000, 17
    settings = {**BOTH, "mixup_alpha": 0.3, "cutmix_minmax": minmax, "prob": 0.9, "switch_prob": 0.4, "mode": "elem"}
    blend, paste, mixture = Mixup(**settings).decide(count, (size, size), stream(torch.Generator().manual_seed(0)))
    state = np.random.get_state()
    np.random.seed(0)
    drawn, pastes = theirs.Mixup(**settings)._params_per_elem(count)
    boxes, shares = zip(
        *(theirs.cutmix_bbox_and_lam((3, size, size), lam, ratio_minmax=minmax) for lam in drawn[pastes & (drawn < 1)]),
        strict=True,
    )
    np.random.set_state(state)
    box = paste.box[paste.active].numpy()
    blends = drawn[~pastes & (drawn < 1)]
    assert abs(paste.active.float().mean() - np.mean(np.array(shares) < 1) * len(boxes) / count) < 0.018
    assert abs(blend.active.float().mean() - len(blends) / count) < 0.018
    alike(blend.lam[blend.active].numpy(), blends)
    held = np.array(shares) < 1
    alike(*(np.rint(share * size**2) for share in (paste.lam[paste.active].numpy(), np.array(shares)[held])))  # positions kept
    top, bottom, left, right = np.array(boxes)[held].T
    for ours, their in zip((box[:, 0, 0], box[:, 0, 1], box[:, 1, 0], box[:, 1, 1]), (top, bottom, left, right), strict=True):
        alike(ours, their)
    assert torch.equal(mixture.weight[paste.active, 0], paste.lam[paste.active])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rows", [1, 2, 5, 6])
@pytest.mark.parametrize("inplace", [False, True])
def test_labels_are_what_images_hold_in_batches_of_any_size(mode, rows, inplace):
    # Channel c of an image of class c is one: what an image holds of a class is the mean of its channel.
    labels = torch.arange(rows)
    images = torch.nn.functional.one_hot(labels, rows).float().view(rows, rows, 1, 1).repeat(1, 1, 7, 5)
    mixup_fn = Mixup(
        **BOTH, mode=mode, label_smoothing=0, num_classes=rows, inplace=inplace, generator=torch.Generator().manual_seed(rows)
    )
    changed = 0
    for _ in range(8):
        given = images.clone()
        mixed, soft = mixup_fn(given, labels)
        assert (mixed is given) == inplace
        assert inplace or torch.equal(given, images)
        torch.testing.assert_close(mixed.mean((2, 3)), soft)
        changed += bool((soft < 1).any() and (mixed != images).any())
    assert changed >= (8 if rows == 6 else 6) * (rows > 1)
    if rows == 5:
        assert torch.equal(mixed[2], images[2])  # the middle one is its own partner


def test_switched_off_it_smooths_labels_and_leaves_images(theirs):
    x, y = batch(4)
    ours, timms = Mixup(**BOTH, num_classes=5), theirs.Mixup(**BOTH, num_classes=5)
    ours.mixup_enabled = timms.mixup_enabled = False
    (mixed, soft), (same, labels) = ours(x, y), timms(x.clone(), y)
    assert torch.equal(mixed, x)
    assert torch.equal(same, x)
    torch.testing.assert_close(soft, labels, rtol=0, atol=1e-7)
    assert soft[0, 0] == pytest.approx(0.92)  # timm's smoothing, unless told


class Grey(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return np.full((3, 4, 4), 60 * index, dtype=np.uint8), index


def test_timm_cannot_switch_off_what_mixes_in_workers_that_persist(theirs):
    from timm.data.loader import PrefetchLoader, create_loader

    assert inspect.signature(create_loader).parameters["persistent_workers"].default is True
    collate = theirs.FastCollateMixup(num_classes=4, label_smoothing=0.0)
    inner = torch.utils.data.DataLoader(Grey(), 4, num_workers=1, collate_fn=collate, persistent_workers=True)
    loader = PrefetchLoader(inner, device=torch.device("cpu"))
    before = [target for _, target in loader]
    loader.mixup_enabled = False
    after = [target for _, target in loader]
    assert not loader.mixup_enabled
    assert all(float(target.max()) < 1 for target in before + after)  # still mixed: what docs/trainers/timm.md warns of


def test_arguments_and_attributes_are_those_of_timm(theirs):
    def arguments(cls):
        return {name: p.default for name, p in inspect.signature(cls).parameters.items() if p.kind is p.POSITIONAL_OR_KEYWORD}

    assert arguments(Mixup) == arguments(theirs.Mixup)
    assert set(vars(theirs.Mixup())) <= set(vars(Mixup()))
    assert Mixup(0.0, 0.5, [0.1, 0.9]).cutmix_alpha == theirs.Mixup(0.0, 0.5, [0.1, 0.9]).cutmix_alpha == 1.0


def test_labels_that_are_on_or_off(theirs, monkeypatch):
    x, _ = batch(6)
    target = (torch.rand(6, 5, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    settings = {**BOTH, "num_classes": 5, "multi_label": True, "mode": "elem"}
    mixup_fn = Mixup(**settings)
    decided = mixup_fn.decide(6, (9, 9), stream(torch.Generator().manual_seed(3)))
    _, labels = forced(theirs, monkeypatch, settings, decided)(x.clone(), target)
    torch.testing.assert_close(decided[2].dense(mixup_fn.soft(target)), labels, rtol=1e-6, atol=1e-7)


def test_a_generator_given_is_the_only_source():
    x, y = batch(6)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    first, second = (
        Mixup(**BOTH, num_classes=5, mode="elem", generator=torch.Generator().manual_seed(1))(x, y) for _ in range(2)
    )
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"correct_lam": False}, "correct_lam: expected True"),
        ({"mode": "half"}, "FastCollateMixup"),
        ({"mode": "rows"}, "batch, pair, elem"),
        ({"mixup_alpha": 0.0}, "mixup_alpha or cutmix_alpha above 0"),
        ({"cutmix_minmax": (0.8, 0.2)}, "cutmix_minmax"),
        ({"cutmix_minmax": (0.8,)}, "cutmix_minmax"),
        ({"prob": 2}, "prob"),
        ({"label_smoothing": -0.1}, "label_smoothing"),
        ({"num_classes": 0}, "num_classes"),
        ({"generator": 3}, "generator"),
    ],
)
def test_arguments_out_of_range_are_refused(settings, says):
    with pytest.raises(fm.FeatmixError, match=says):
        Mixup(**settings)


@pytest.mark.parametrize(
    ("images", "target", "says"),
    [
        (torch.rand(4, 3, 8), torch.arange(4), r"\(B, C, H, W\)"),
        (torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.arange(4), "floating"),
        (torch.rand(4, 3, 8, 8), torch.arange(3), "4 rows"),
        (torch.rand(4, 3, 8, 8), torch.rand(4, 5), "mixed or smoothed already"),
        (torch.rand(4, 3, 8, 8), torch.arange(4) + 3, "class indices in"),
        (torch.rand(4, 3, 8, 8), [0, 1, 2, 3], "class indices"),
    ],
)
def test_batches_that_do_not_fit_are_refused(images, target, says):
    with pytest.raises(fm.FeatmixError, match=says):
        Mixup(num_classes=5)(images, target)
