"""Each view has a tree of its own: its labels are what is in it, and another view's are not touched."""

import numpy as np
import pytest
import torch
from torch import nn

import featmix as fm

HALVES = [lambda image: image, lambda image: image[:, :6]]


def one_hot(count=6):
    """Images whose channel says which sample they are."""
    return [(torch.eye(count)[row].view(-1, 1, 1).expand(count, 8, 8).clone(), row) for row in range(count)]


class Kept(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Identity()

    def forward(self, images):
        self.images = self.inner(images)
        return self.images.mean((2, 3))


def steps(pipeline, views, names):
    """Of each view its name, the mixed images, and the decision."""
    model = Kept()
    found = []
    with pipeline.attach(model) as mixer:
        batch, labels = next(iter(pipeline.loader(one_hot(), views=views, batch_size=6)))
        flat = (
            [(name, view) for name, group in batch.items() for view in group]
            if names is None
            else zip(names, batch, strict=True)
        )
        for name, view in flat:
            view = mixer.prepare(view)
            mix = mixer.draw(view, target=labels, view=name)
            output = model(view)
            mix.loss(nn.functional.cross_entropy, output, labels)
            found.append((name, model.images, mix))
    return found


def test_each_view_is_mixed_by_its_own_tree_and_its_labels_are_its_content():
    pipeline = fm.Pipeline(mix_views={0: None, 1: {"input": fm.CutMix(p=1.0)}}, seed=0)
    (_, weak, first), (_, strong, second) = steps(pipeline, HALVES, (0, 1))
    assert torch.equal(weak.mean((2, 3)), torch.eye(6))
    assert torch.equal(first.mixture.matrix(), torch.eye(6))
    assert strong.shape[2:] == (6, 8)
    assert torch.allclose(strong.mean((2, 3)), second.mixture.matrix(), atol=1e-6)
    assert not torch.equal(second.mixture.matrix(), torch.eye(6))


def test_groups_share_a_tree_and_draw_apart_at_any_site():
    trees = {"global": fm.Compose([fm.At("input", fm.CutMix()), fm.At("inner", fm.Mixup())]), "local": {"inner": fm.Mixup()}}
    pipeline = fm.Pipeline(mix_views=trees, batch=lambda images: images + 0, seed=0)
    found = steps(pipeline, {"global": (HALVES[0], 2), "local": (HALVES[1], 3)}, None)
    assert [name for name, _, _ in found] == ["global"] * 2 + ["local"] * 3
    for name, images, mix in found:
        assert torch.allclose(images.mean((2, 3)), mix.mixture.matrix(), atol=1e-5)
        assert name == "global" or torch.equal(images.amax((2, 3)), images.amin((2, 3)))  # no box in there
    matrices = {tuple(mix.mixture.matrix().flatten().tolist()) for _, _, mix in found}
    assert len(matrices) == 5


def test_what_is_not_said_or_known_is_refused_and_nothing_is_armed():
    model, images = Kept(), torch.rand(4, 3, 8, 8)
    with fm.Pipeline(mix_views={"weak": None, "strong": {"input": fm.CutMix()}}).attach(model) as mixer:
        for view, message in ((None, "one of 'weak', 'strong', by which"), ("strogn", "Did you mean 'strong'"), (1, "got 1")):
            with pytest.raises(fm.FeatmixError, match=message):
                mixer.draw(images, view=view)
        mixer.draw(images, view="weak")
    message = r"view: expected None, for one tree, got 'weak'. Pipeline\(mix_views="
    with fm.Pipeline(mix={"input": fm.CutMix()}).attach(model) as mixer, pytest.raises(fm.FeatmixError, match=message):
        mixer.draw(images, view="weak")
    for trees in ({}, [fm.CutMix()], {1.5: None}, {True: None}):
        with pytest.raises(fm.FeatmixError, match="mix_views: expected a tree, or None, for each view"):
            fm.Pipeline(mix_views=trees)
    with pytest.raises(fm.FeatmixError, match="mix_views: expected mix= or mix_views=, got both"):
        fm.Pipeline(mix={"input": fm.CutMix()}, mix_views={"weak": None})


def test_it_is_shown_saved_and_loaded(tmp_path):
    pipeline = fm.Pipeline(mix_views={"weak": None, 1: {"input": fm.CutMix()}, "far": fm.At("inner", fm.MoEx())}, seed=0)
    assert pipeline.summary().splitlines()[1:3] == [
        "mix   input  CutMix(alpha=1.0, loss_weight=1.0, p=1.0), of view 1  mixed",
        "mix   inner  MoEx(norm='pono', lam=0.9, p=1.0), of view 'far'      mixed",
    ]
    fm.save(pipeline, tmp_path / "views.yaml")
    again = fm.load(tmp_path / "views.yaml")
    assert repr(again) == repr(pipeline)
    assert again.tree.views == ("weak", 1, "far")
    assert fm.to_dict(again) == fm.to_dict(pipeline)
    images = np.zeros((4, 8, 8, 3), np.uint8)
    with pytest.raises(fm.FeatmixError, match=r"Pipeline.preview: view: expected one of 'weak', 1, 'far'"):
        pipeline.preview(list(images))
    assert len(pipeline.preview(list(images), view=1).axes) == 8


def test_the_same_seed_repeats_and_eval_mixes_nothing():
    def run():
        pipeline = fm.Pipeline(mix_views={"weak": {"input": fm.Mixup()}, "strong": {"input": fm.CutMix()}}, seed=3)
        return steps(pipeline, HALVES, ("weak", "strong"))

    for (_, one, _), (_, other, _) in zip(run(), run(), strict=True):
        assert torch.equal(one, other)
    model, images = Kept().eval(), torch.rand(4, 3, 8, 8)
    with fm.Pipeline(mix_views={"weak": {"input": fm.Mixup()}}).attach(model) as mixer:
        assert torch.equal(mixer.draw(images, view="weak").mixture.matrix(), torch.eye(4))
        assert torch.equal(model(images), images.mean((2, 3)))
