import copy
import pickle

import pytest
import torch
from torch import Generator, nn

import featmix as fm
from featmix import FeatmixError
from featmix.testing import parametrize_with_checks

K = pytest.importorskip("kornia.augmentation")
from featmix.interop.kornia import from_kornia, to_kornia  # noqa: E402

pytestmark = [pytest.mark.filterwarnings("ignore::DeprecationWarning")]
X = torch.rand(5, 3, 8, 6, generator=Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 1, 0])
MIXERS = {
    "mixup": lambda: K.RandomMixUpV2(),
    "mixup in a range": lambda: K.RandomMixUpV2(lambda_val=(0.1, 0.4), same_on_batch=True, p=0.5),
    "cutmix": lambda: K.RandomCutMixV2(use_correct_lambda=True),
    "cutmix, one box": lambda: K.RandomCutMixV2(same_on_batch=True, cut_size=(0.2, 0.6), beta=0.5, use_correct_lambda=True),
    "cutmix of three": lambda: K.RandomCutMixV2(num_mix=3, use_correct_lambda=True),
    "patchmix": lambda: K.PatchMix(patch_size=1),
    "mosaic": lambda: K.RandomMosaic(p=0.7),
    "wide mosaic": lambda: K.RandomMosaic(mosaic_grid=(3, 2), start_ratio_range=(0.0, 1.0), p=1.0),
}


def seeded(seed=0):
    return Generator().manual_seed(seed)


def strategies():
    return {name: from_kornia(make()) for name, make in MIXERS.items()}


# -- laws --------------------------------------------------------------------------------------------------------------


HELD = [strategies()[name] for name in ("mixup", "cutmix", "cutmix of three", "patchmix", "mosaic", "wide mosaic")]


@parametrize_with_checks(HELD, examples=10, dtypes=[torch.float32, torch.float16], kinds=("strategy",))
def test_laws(check):
    check()


@pytest.mark.slow
@parametrize_with_checks([strategies()[name] for name in ("mixup", "cutmix", "mosaic")], kinds=("attached",))
def test_laws_in_a_model(check):
    check()


# -- the same pixels as kornia's ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MIXERS)
def test_pixels_are_kornias_own_for_the_same_decision(name):
    strategy = from_kornia(MIXERS[name]())
    strategy.p = 1.0
    found = {}
    draw = strategy.mixer.generate_parameters
    strategy.mixer.generate_parameters = lambda shape: found.update(draw(shape)) or found
    for seed in range(10):
        params = strategy.make_params(X.shape, generator=seeded(seed))
        for pairs in ("mixup_pairs", "mix_pairs"):
            if pairs in found:
                stacked = found[pairs].ndim == 2
                ours = torch.stack([params.partner, *found[pairs][1:]]) if stacked else params.partner
                found[pairs] = ours
        if "permutation" in found:
            found["permutation"][:, 1] = params.partner
        y = MIXERS[name]()(X, params={**found, "batch_prob": torch.ones(len(X))}, data_keys=["input"])
        torch.testing.assert_close(strategy.transform(X, params), y)


# -- what is mended ----------------------------------------------------------------------------------------------------


def test_what_kornia_does():
    keys = ["input", "class"]
    mixup, cutmix = K.RandomMixUpV2(data_keys=keys).eval(), K.RandomCutMixV2(data_keys=keys).eval()
    torch.manual_seed(0)
    mixed, triples = mixup(X, Y)
    assert not torch.equal(mixed, X)  # in eval mode
    lam, partner = triples[:, 2], mixup._params["mixup_pairs"]
    torch.testing.assert_close(mixed, torch.lerp(X, X[partner], lam.view(-1, 1, 1, 1)))  # the partner's share
    _, triples = cutmix(X, Y)
    boxes = cutmix._params["crop_src"][0]
    area = (boxes[:, 2] - boxes[:, 0] + 1).prod(1)
    torch.testing.assert_close(triples[0, :, 2], area / 48)  # the partner's share
    with pytest.raises((RuntimeError, ValueError, TypeError)):
        mixup(X, torch.eye(5))  # soft labels
    with pytest.raises(TypeError):
        cutmix((X * 255).byte(), Y)
    with pytest.raises(NotImplementedError):
        K.AugmentationSequential(cutmix, data_keys=keys)(X, Y)
    with pytest.raises(RuntimeError):
        K.RandomMosaic(data_keys=keys, p=1.0)(X, Y)
    with pytest.raises(NotImplementedError):
        K.PatchMix(patch_size=2, data_keys=keys)(X, Y)
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever it raises
        cutmix(X[:0], Y[:0])


def test_shares_of_boxes_that_cover_each_other():
    params = from_kornia(K.RandomCutMixV2(num_mix=4, cut_size=(0.0, 0.3))).make_params(X.shape, generator=seeded())
    weight = params.mixture.weight
    counted = torch.stack([(params.rows == row).flatten(1).double().mean(1) for row in range(len(X))], dim=1)
    torch.testing.assert_close(params.mixture.matrix().double(), counted, atol=1e-6, rtol=0)
    assert weight.shape == (5, 5)
    assert bool((weight[:, 0] < 0.7).any())


def test_training_alone_mixes_and_labels_are_soft():
    for name, strategy in strategies().items():
        strategy.p, strategy.num_classes = 1.0, 3
        y, soft = strategy(X, Y, generator=seeded())
        assert not torch.equal(y, X), name
        assert soft.shape == (5, 3)
        y, same = strategy.eval()(X, Y)
        assert torch.equal(y, X), name
        assert torch.equal(same, nn.functional.one_hot(Y, 3).float())
        strategy.train().num_classes = None
        for target in (torch.rand(5, 7), torch.rand(5)):
            assert strategy(X, target, generator=seeded())[1].shape == target.shape


def test_pasting_takes_integers_and_an_empty_batch():
    images = (X * 255).byte()
    for name in ("cutmix", "cutmix of three", "patchmix", "wide mosaic"):
        strategy = from_kornia(MIXERS[name]())
        y, soft = strategy(images, torch.eye(5), generator=seeded())
        assert y.dtype == torch.uint8
        torch.testing.assert_close(soft.sum(1), torch.ones(5))
        assert strategy(images[:0]).shape == (0, 3, 8, 6)


def test_a_generator_decides_and_the_global_one_stays():
    for strategy in strategies().values():
        before = torch.get_rng_state()
        first, again, other = (strategy.make_params(X.shape, generator=seeded(k)) for k in (1, 1, 2))
        assert torch.equal(before, torch.get_rng_state())
        assert torch.equal(strategy.transform(X, first), strategy.transform(X, again))
        assert not torch.equal(first.partner, other.partner) or not torch.equal(first.lam, other.lam)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = strategy.make_params(X.shape)
        torch.manual_seed(0)
        assert torch.equal(first.lam, strategy.make_params(X.shape).lam)


def test_partners():
    derangement = from_kornia(K.RandomMixUpV2(), partner="derangement")
    for seed in range(50):
        assert not bool((derangement.make_params(X.shape, generator=seeded(seed)).partner == torch.arange(5)).any())
    across = from_kornia(K.RandomCutMixV2(), partner="crossdomain")
    domain = torch.tensor([0, 0, 1, 1, 1])
    partner = across.make_params(X.shape, domain=domain, generator=seeded()).partner
    assert bool((domain[partner] != domain).all())


def test_gates_are_kornias():
    assert [(s.p, s.per) for s in strategies().values()][1] == (0.5, "batch")
    mosaic = from_kornia(K.RandomMosaic(p=0.3))
    assert (mosaic.p, mosaic.per) == (0.3, "sample")


def test_the_mixer_is_copied():
    mixer = K.RandomCutMixV2()
    strategy = from_kornia(mixer)
    mixer._param_generator.num_mix = 7
    assert strategy.mixer._param_generator.num_mix == 1
    again = pickle.loads(pickle.dumps(strategy))
    assert torch.equal(again(X, generator=seeded()), strategy(X, generator=seeded()))


def test_label_maps():
    maps = (torch.arange(5).view(5, 1, 1) + 10).expand(5, 8, 6)
    for name in ("cutmix", "cutmix of three"):
        strategy = from_kornia(MIXERS[name]())
        params = strategy.make_params(X.shape, generator=seeded())
        mixed = strategy.dense_targets(maps, params)
        images = strategy.transform(maps.unsqueeze(1).expand(-1, 3, -1, -1).float(), params)
        assert torch.equal(mixed.float(), images[:, 0])
        assert mixed.dtype == maps.dtype


def test_in_a_model():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(3))
    mixer = fm.attach(model, {"input": from_kornia(K.RandomCutMixV2()), "0": fm.MoEx()}, example=X, seed=0)
    mix = mixer.draw(X, target=Y)
    loss = mix.loss(nn.functional.cross_entropy, model(X), Y)
    assert bool(loss.isfinite())
    assert torch.equal(mix.mixture.matrix(), mix.params["input"].mixture.then(mix.params["0"].mixture).matrix())


@pytest.mark.parametrize(
    ("mixer", "said"),
    [
        (lambda: K.RandomJigsaw(), "mixes nothing between samples"),
        (lambda: K.RandomTransplantation(), "segmentation masks"),
        (lambda: K.RandomHorizontalFlip(), "RandomMixUpV2, RandomCutMixV2"),
        (lambda: nn.Identity(), "RandomMixUpV2, RandomCutMixV2"),
        (lambda: type("Mine", (K.RandomMixUpV2,), {})(), "RandomMixUpV2, RandomCutMixV2"),
        (lambda: K.RandomMosaic(output_size=(4, 4)), "keeps the shape"),
        (lambda: K.RandomMosaic(cropping_mode="resample"), "cropping_mode='slice'"),
        (lambda: K.RandomMosaic(mosaic_grid=(1, 2)), "nothing, and no label"),
    ],
)
def test_refused(mixer, said):
    with pytest.raises(FeatmixError, match=said):
        from_kornia(mixer())


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(FeatmixError, match="patch_size"):
        from_kornia(K.PatchMix(patch_size=7)).make_params(X.shape)
    with pytest.raises(FeatmixError, match="kornia draws who is in whom"):
        from_kornia(K.RandomMosaic(), partner="derangement")
    strategy = from_kornia(K.RandomMosaic())
    with pytest.raises(FeatmixError, match="drawn for positions"):
        strategy.transform(X[..., :4], strategy.make_params(X.shape))
    with pytest.raises(FeatmixError, match="cannot tell padding"):
        strategy.make_params(X.shape, mask=torch.ones(5, 8, 6, dtype=torch.bool))


# -- featmix in kornia -------------------------------------------------------------------------------------------------


def test_in_a_container():
    mix = to_kornia(fm.CutMix(num_classes=3))
    aug = K.AugmentationSequential(K.RandomHorizontalFlip(p=1.0), mix, data_keys=["input"])
    y = aug(X)
    assert torch.equal(y, mix.strategy.transform(X.flip(-1), mix.decision))
    torch.testing.assert_close(mix.labels(Y), mix.decision.mixture.dense(Y, 3))
    assert torch.equal(aug.eval()(X), X.flip(-1))  # kornia's own flips go on in eval mode
    assert torch.equal(mix.labels(Y), nn.functional.one_hot(Y, 3).float())


def test_a_container_replays():
    for strategy in (fm.CutMix(), fm.Mixup(), fm.MoEx("in", p=0.5), fm.MixStyle()):
        mix = to_kornia(strategy)
        aug = K.AugmentationSequential(mix, K.RandomVerticalFlip(), data_keys=["input"])
        first = aug(X)
        params, labels = aug._params, mix.labels(torch.eye(5))
        aug(X)
        assert torch.equal(aug(X, params=params), first)
        assert torch.equal(mix.labels(torch.eye(5)), labels)


def test_torchs_seed_decides_as_everywhere_in_kornia():
    aug = K.AugmentationSequential(K.ColorJiggle(0.2, 0.2, 0.2, 0.1), to_kornia(fm.Mixup()), data_keys=["input"])
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = aug(X)
        torch.manual_seed(3)
        assert torch.equal(aug(X), first)


def test_masks_go_along():
    maps = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 1, 8, 6)
    mix = to_kornia(fm.CutMix())
    images, masks = K.AugmentationSequential(mix, data_keys=["input", "mask"])(maps.expand(5, 3, 8, 6), maps)
    assert torch.equal(images[:, :1], masks)
    alone = to_kornia(fm.MixStyle(p=1.0))
    _, masks, boxes = K.AugmentationSequential(alone, data_keys=["input", "mask", "bbox_xyxy"])(
        X, maps, torch.tensor([[[1.0, 1.0, 3.0, 4.0]]]).expand(5, 1, 4)
    )
    assert torch.equal(masks, maps)
    torch.testing.assert_close(boxes, torch.tensor([[[1.0, 1.0, 3.0, 4.0]]]).expand(5, 1, 4))


def test_called_by_itself_it_takes_labels_of_any_kind():
    mix = to_kornia(fm.Mixup(), num_classes=3)
    for target in (Y, torch.rand(5, 4), torch.rand(5)):
        mix.num_classes = 3 if target is Y else None
        y, soft = mix(X, target, data_keys=["input", "class"])
        torch.testing.assert_close(y, mix.strategy.transform(X, mix.decision))
        torch.testing.assert_close(soft, mix.decision.mixture.dense(target, mix.num_classes))


def test_a_round_trip_keeps_the_strategy():
    there = to_kornia(from_kornia(K.RandomCutMixV2()))
    again = copy.deepcopy(there)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first = there(X)
        torch.manual_seed(0)
        assert torch.equal(again(X), first)
    assert "KorniaCutMix" in repr(there)


def test_to_kornia_refuses():
    with pytest.raises(FeatmixError, match="a strategy"):
        to_kornia(nn.Identity())
    mix = to_kornia(fm.CutMix())
    with pytest.raises(FeatmixError, match="a call before"):
        mix.labels(Y)
    with pytest.raises(FeatmixError, match="boxes"):
        mix(X, torch.rand(5, 1, 4, 2), data_keys=["input", "bbox"])
    with pytest.raises(NotImplementedError):  # kornia's own refusal, which is better than labels that are wrong
        K.AugmentationSequential(mix, data_keys=["input", "class"])(X, Y)
    with pytest.raises(FeatmixError, match="labels"):
        to_kornia(fm.MoEx(memory=4))(X)
    with pytest.raises(FeatmixError, match="parameters of an earlier call"):
        mix(X, params={"batch_prob": torch.ones(5)})
