import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm

SITES = ["input", "0", "1"]


def network():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def chosen(mix):
    (site,) = [site for site, params in mix.params.items() if bool(params.active.any())]
    return site


def test_one_of_the_sites_each_step_and_all_of_them_in_time():
    model, x, y = network(), torch.randn(6, 4), torch.randint(3, (6,))
    seen = []
    with fm.attach(model, fm.manifold_mixup(SITES), seed=0) as mixer:
        for _ in range(60):
            mix = mixer.draw(x, target=y)
            mix.loss(F.cross_entropy, model(x), y)  # raises where the site did not fire
            seen.append(chosen(mix))
            assert torch.equal(mix.mixture.matrix(), mix.params[seen[-1]].mixture.matrix())
    assert {site: seen.count(site) > 10 for site in SITES} == dict.fromkeys(SITES, True)


def test_what_is_mixed_is_the_layer_by_the_labels_share():
    model, x = network(), torch.randn(6, 4)
    with fm.attach(model, fm.manifold_mixup(["0"]), seed=1) as mixer:
        mix = mixer.draw(x)
        found = model(x)
    hidden = model[0](x)
    mixed = mix.mixture.matrix() @ hidden
    torch.testing.assert_close(found, model[2](model[1](mixed)))


def test_weights_say_how_often():
    tree = fm.manifold_mixup(SITES, weights=[0, 1, 0])
    with fm.attach(network(), tree, seed=0) as mixer:
        for _ in range(5):
            assert chosen(mixer.draw(torch.randn(6, 4))) == "0"
            mixer.discard()


def test_settings_reach_the_strategy_and_the_default_is_the_papers():
    tree = fm.manifold_mixup(SITES, alpha=0.5, p=0.25, lam_per="sample")
    for leaf in tree.leaves():
        assert (leaf.strategy.alpha, leaf.strategy.p, leaf.strategy.lam_per) == (0.5, 0.25, "sample")
    assert fm.create("manifold-mixup").alpha == 2.0


def test_a_step_is_mixups():
    x, ours, mixup = torch.randn(6, 4), fm.create("manifold-mixup"), fm.Mixup(alpha=2.0)
    one, two = (s.make_params(x.shape, generator=torch.Generator().manual_seed(0)) for s in (ours, mixup))
    assert torch.equal(ours.transform(x, one), mixup.transform(x, two))
    assert torch.equal(one.mixture.matrix(), two.mixture.matrix())


def test_bad_input_is_refused():
    with pytest.raises(fm.FeatmixError):
        fm.manifold_mixup([])
    with pytest.raises(fm.FeatmixError, match="weights"):
        fm.manifold_mixup(SITES, weights=[1, 2])
    with pytest.raises(fm.FeatmixError, match="alpha"):
        fm.manifold_mixup(SITES, alpha=-1)
