import copy
import importlib

import pytest
import torch
from kornia import augmentation as K
from torch import nn
from torch.nn import functional as F

import featmix as fm
from tests.attaching import images, labels, net, seen_by


def noisy(x):
    return x + torch.rand_like(x)


def both(seed=0, batch=noisy):
    return fm.Pipeline(batch=batch, mix={"input": fm.Mixup(), "layer1": fm.MoEx()}, seed=seed)


def steps(mixer, model, count=3):
    seen = []
    for _ in range(count):
        x = mixer.prepare(images())
        mix = mixer.draw(x, target=labels())
        mix.loss(F.cross_entropy, model(x), labels())
        seen += [x, mix.mixture.matrix()]
    return seen


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_batch_part_is_applied_before_the_model_mixes():
    model = net()
    seen = seen_by(model.stem)
    with fm.Pipeline(batch=lambda x: x * 2, mix={"input": fm.CutMix()}, seed=0).attach(model) as mixer:
        x = mixer.prepare(images())
        assert torch.equal(x, images() * 2)
        mix = mixer.draw(x, target=labels())
        mix.loss(F.cross_entropy, model(x), labels())
        assert torch.equal(seen[0], fm.CutMix().transform(x, mix.params["input"]))


def test_one_seed_repeats_all_and_another_does_not():
    runs = {}
    for name, pipeline, seed in [("a", both(0), None), ("b", both(0), None), ("c", both(1), None), ("d", both(5), 0)]:
        model = net()
        with pipeline.attach(model, seed=seed) as mixer:
            runs[name] = steps(mixer, model)
    assert same(runs["a"], runs["b"])
    assert same(runs["a"], runs["d"])
    assert not any(torch.equal(x, y) for x, y in zip(runs["a"][::2], runs["c"][::2], strict=True))
    assert len({x.numpy().tobytes() for x in runs["a"][::2]}) == 3


@pytest.mark.parametrize("way", ["copied", "loaded"])
def test_another_rank_applies_the_batch_part_in_a_stream_of_its_own(way, monkeypatch):
    model, found = net(), []
    mixer = both().attach(model)
    steps(mixer, model, 1)
    state, sent = mixer.state_dict(), [copy.deepcopy((model, mixer)) for _ in range(2)]
    for number, (other, theirs) in enumerate(sent):
        for module in ("featmix.mixer.mixer", "featmix.mixer.state", "featmix.pipeline.mixer"):
            monkeypatch.setattr(importlib.import_module(module), "rank", lambda number=number: number)
        if way == "loaded":
            theirs = both().attach(other)
            theirs.load_state_dict(state)
        found.append(steps(theirs, other))
    assert not any(torch.equal(a, b) for a, b in zip(*found, strict=True))
    monkeypatch.undo()
    assert same(steps(mixer, model), found[0])


def test_mixing_draws_what_it_would_draw_without_a_batch_part():
    first, second = net(), net()
    tree = {"input": fm.Mixup(), "layer1": fm.MoEx()}
    with both().attach(first) as mixer, fm.attach(second, tree, seed=0) as plain:
        for _ in range(3):
            a, b = mixer.draw(mixer.prepare(images())), plain.draw(images())
            first(images()), second(images())
            assert torch.equal(a.mixture.matrix(), b.mixture.matrix())


@pytest.mark.parametrize("batch", [noisy, K.RandomAffine(30.0, p=1.0), K.AugmentationSequential(K.RandomGaussianNoise(p=1.0))])
def test_global_generators_are_left_alone_and_do_not_matter(batch):
    outcomes = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        model = net()
        with both(batch=batch).attach(model) as mixer:
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            outcomes.append(mixer.prepare(images()))
            assert torch.equal(torch.get_rng_state(), before)
    assert same([outcomes[0]], [outcomes[1]])
    assert not torch.equal(outcomes[0], images())


def test_in_eval_mode_nothing_is_done():
    model = net().eval()
    with both().attach(model) as mixer:
        x, masks = images(), torch.zeros(6, 8, 8)
        assert mixer.prepare(x) is x
        assert mixer.prepare(x, masks) == (x, masks)
        assert torch.equal(mixer.draw(x).mixture.matrix(), torch.eye(6))


def test_masks_go_along():
    model = net()
    masks = (images()[:, 0] > 0).long()
    pipeline = fm.Pipeline(batch=K.AugmentationSequential(K.RandomHorizontalFlip(p=1.0), K.RandomVerticalFlip(p=0.5)), seed=0)
    with pipeline.attach(model) as mixer:
        x, moved = mixer.prepare(images(), masks)
        assert torch.equal(moved, (x[:, 0] > 0).long())
        assert not torch.equal(moved, masks)


def test_segmentation_with_label_maps_of_mixed_boxes():
    model = nn.Conv2d(3, 5, 1)
    masks = torch.arange(6 * 64).view(6, 8, 8) % 5
    with fm.Pipeline(batch=K.RandomHorizontalFlip(p=1.0), mix={"input": fm.CutMix()}, seed=0).attach(model) as mixer:
        x, maps = mixer.prepare(images(), masks)
        mix = mixer.draw(x)
        target = mix.dense_targets(maps)
        assert F.cross_entropy(model(x), target).isfinite()
        taken = fm.CutMix().transform(masks.flip(-1).unsqueeze(1).float(), mix.params["input"]).squeeze(1).long()
        assert torch.equal(target, taken)


def test_images_that_did_not_go_through_are_noticed():
    model = net()
    with both().attach(model) as mixer:
        x = images()
        prepared = mixer.prepare(x)
        with pytest.raises(fm.FeatmixError, match="images: expected what prepare gave back, got what it was given"):
            mixer.draw(x)
        mixer.draw(prepared.to(torch.float64))  # casting or moving them is fine
        mixer.discard()
        mixer.draw(prepared[:4])  # and so is another decision for the same images
        mixer.discard()


def test_a_forgotten_prepare_is_refused_as_a_forgotten_forward_is():
    model = net()
    with both().attach(model) as mixer:
        for _ in range(2):
            with pytest.raises(fm.FeatmixError, match=r"were not applied\. Write images = mixer\.prepare\(images\)"):
                mixer.draw(images())
        steps(mixer, model, 1)
        with pytest.raises(fm.FeatmixError, match="did not go through it"):  # in each step, and not in the first alone
            mixer.draw(images())
        model.eval()
        mixer.draw(mixer.prepare(images()))
        mixer.draw(images())
        model.train()
        with pytest.raises(fm.FeatmixError, match="did not go through it"):  # eval mode prepared nothing
            mixer.draw(images())
        other, theirs = copy.deepcopy((model, mixer))
        with pytest.raises(fm.FeatmixError, match="did not go through it"):
            theirs.draw(images())
        steps(theirs, other, 1)
    model = net()
    with fm.Pipeline(mix={"input": fm.Mixup()}, seed=0).attach(model) as mixer:
        mixer.draw(images())  # nothing to be applied


def test_views_are_prepared_and_decided_for_one_by_one():
    model = net()
    with both().attach(model) as mixer:
        views = [images(), images()]
        first, second = mixer.prepare(views)
        assert not torch.equal(first, second)  # each by draws of its own
        with pytest.raises(fm.FeatmixError, match=r"one batch, got several views\. .*for view in views"):
            mixer.draw([first, second])
        mixtures = []
        for view in (first, second):
            mixtures.append(mixer.draw(view, target=labels()).mixture.matrix())
            model(view)
        assert not torch.equal(*mixtures)
        with pytest.raises(fm.FeatmixError, match="did not go through it"):
            mixer.draw(images())
        named = mixer.prepare({"global": views, "local": views[:1]})
        assert {name: len(group) for name, group in named.items()} == {"global": 2, "local": 1}
        with pytest.raises(fm.FeatmixError, match=r"Prepare each view with its masks by itself"):
            mixer.prepare(views, torch.zeros(6, 8, 8))
        for batch in ([images(), labels()], {"images": images()}, []):  # what a loader gives, and not its images
            with pytest.raises(fm.FeatmixError, match=r"Mixer\.prepare: images: expected a batch of images"):
                mixer.prepare(batch)


def test_a_resumed_run_goes_on_where_it_was():
    model, other = net(), net()
    with both().attach(model) as mixer, both(seed=9).attach(other) as resumed:
        steps(mixer, model, 2)
        resumed.load_state_dict(copy.deepcopy(mixer.state_dict()))
        assert same(steps(mixer, model, 2), steps(resumed, other, 2))


@pytest.mark.parametrize("change", [{"batch": -3}, {"batch": torch.zeros(3)}, {"batch": None}, {"more": 1}, {"generator": 3}])
def test_a_state_that_is_none_is_refused_and_changes_nothing(change):
    with both().attach(net()) as mixer, both(seed=9).attach(net()) as other:
        before = mixer.state_dict()
        with pytest.raises(fm.FeatmixError, match=r"Mixer\.load_state_dict"):
            mixer.load_state_dict({**other.state_dict(), **change})
        assert mixer.state_dict()["batch"] == before["batch"]


def test_without_mix_the_loop_stays_the_same():
    model = net()
    with fm.Pipeline(batch=noisy, seed=0).attach(model, example=images()) as mixer:
        x = mixer.prepare(images())
        mix = mixer.draw(x, target=labels())
        assert torch.allclose(mix.loss(F.cross_entropy, model(x), labels()), F.cross_entropy(net()(x), labels()))
        assert torch.equal(mix.mixture.matrix(), torch.eye(6))


def test_the_example_goes_through_the_batch_part_first():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten())
    before = torch.get_rng_state()
    for example in (images(size=16), (images(size=16),), {"input": images(size=16)}):
        pipeline = fm.Pipeline(batch=K.RandomResizedCrop((8, 8)), mix={"1": fm.CutMix()}, seed=0)
        with pipeline.attach(model, example=example) as mixer:
            assert mixer.shapes == {"1": (4, 6, 6)}
            x = mixer.prepare(images(size=16))
            mixer.draw(x)
            assert model(x).shape == (6, 4 * 36)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3,), r"Mixer\.prepare: images: expected a batch of images, got int"),
        ((images(), 3), r"Mixer\.prepare: masks: expected maps of 6 rows, got int"),
        ((images(), torch.zeros(5, 8, 8)), r"got shape \(5, 8, 8\)"),
        ((images(), torch.zeros(6)), r"got shape \(6,\)"),
    ],
)
def test_refusals(arguments, message):
    with both().attach(net()) as mixer, pytest.raises(fm.FeatmixError, match=message):
        mixer.prepare(*arguments)


def test_a_batch_part_that_loses_rows_is_refused_before_labels_go_wrong():
    with both(batch=lambda x: x[:3]).attach(net()) as mixer, pytest.raises(fm.FeatmixError, match="expected 6 images"):
        mixer.prepare(images())


def test_attaching_something_else_is_refused_and_leaves_nothing_behind():
    with pytest.raises(fm.FeatmixError, match=r"Pipeline\.attach: model"):
        both().attach("resnet")
    model = net()
    with pytest.raises(RuntimeError, match="to have 3 channels"):
        both().attach(model, example=torch.zeros(2, 5, 8, 8))
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def exact_content(batch, mix):
    """A model whose input says which samples it holds, through every layer that is linear."""
    model = nn.Sequential(nn.Identity(), nn.Identity())
    with fm.Pipeline(batch=batch, mix=mix, seed=3).attach(model, example=torch.rand(4, 4, 8, 8)) as mixer:
        x = torch.eye(4).view(4, 4, 1, 1).expand(4, 4, 8, 8).contiguous()  # sample i is bright in channel i
        x = mixer.prepare(x)
        mix = mixer.draw(x, target=torch.arange(4))
        held = model(x).mean((2, 3))
        return held, mix.mixture.dense(torch.eye(4))


@pytest.mark.parametrize("first", [fm.CutMix(), fm.Mixup(), fm.Mixup(lam_per="sample")])
@pytest.mark.parametrize("second", [fm.Mixup(), fm.Mixup(alpha=0.3, lam_per="sample")])
@pytest.mark.parametrize("batch", [None, K.RandomHorizontalFlip(), K.AugmentationSequential(K.RandomVerticalFlip())])
def test_label_shares_are_content_whatever_is_stacked(batch, first, second):
    held, shares = exact_content(batch, {"input": first, "1": second})
    assert torch.allclose(held, shares, atol=1e-6)
    assert torch.allclose(shares.sum(1), torch.ones(4), atol=1e-6)
