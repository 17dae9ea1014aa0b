import pytest
import torch
from torch.nn import functional as F

import featmix as fm


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def decision(patchup, shape, seed=0, **given):
    return patchup.make_params(shape, generator=torch.Generator().manual_seed(seed), **given)


def test_hard_holes_are_the_partners_and_the_rest_stays_bit_for_bit():
    patchup, x = fm.PatchUp("hard", gamma=0.3, block_size=3), draw(5, 6, 10, 8)
    params = decision(patchup, x.shape)
    y, holes = patchup.transform(x, params), params.changed.expand_as(x)
    assert torch.equal(y[holes], x[params.partner][holes])
    assert torch.equal(y[~holes], x[~holes])
    assert bool(holes.any())
    assert not bool(holes.all())


def test_soft_holes_are_a_blend():
    patchup, x = fm.PatchUp(gamma=0.3, block_size=3, lam_per="sample"), draw(5, 6, 10, 8)
    params = decision(patchup, x.shape)
    y, holes = patchup.transform(x, params), params.changed.expand_as(x)
    blend = params.blend.double().view(-1, 1, 1, 1)
    assert torch.equal(y[~holes], x[~holes])
    torch.testing.assert_close(y[holes], (blend * x + (1 - blend) * x[params.partner])[holes])


def test_the_batch_shares_the_mask_and_channels_differ():
    changed = decision(fm.PatchUp(gamma=0.3, block_size=3), (5, 6, 10, 8)).changed
    assert changed.shape == (1, 6, 10, 8)
    assert len(changed[0].unique(dim=0)) > 1


def test_holes_are_unions_of_blocks_cut_off_at_the_border():
    side = 3
    changed = decision(fm.PatchUp(gamma=0.3, block_size=side), (2, 8, 12, 9)).changed[0]
    covered = torch.zeros_like(changed)
    for channel in range(len(changed)):
        for row in range(12):
            for column in range(9):
                block = (slice(max(row - 1, 0), row + 2), slice(max(column - 1, 0), column + 2))
                if bool(changed[channel][block].all()):
                    covered[channel][block] = True
    assert torch.equal(covered, changed)  # each hole lies in a whole block of holes


@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_the_label_share_is_the_content(mode):
    patchup, shape = fm.PatchUp(mode, gamma=0.4, block_size=3), (5, 6, 10, 8)
    params = decision(patchup, shape)
    content = []
    for sample in range(5):
        x = torch.zeros(shape)
        x[sample] = 1
        content.append(patchup.transform(x, params).double().mean((1, 2, 3)))
    torch.testing.assert_close(torch.stack(content, dim=1).float(), params.mixture.matrix(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("mode", ["soft", "hard"])
def test_the_loss_is_the_published_three_terms(mode):
    """``u l(y_i) + (1 - u) l(y_b) + l(y_rw)``, row by row, with targets blended as the authors do."""
    patchup, output, y = fm.PatchUp(mode, gamma=0.4, block_size=3), draw(5, 7), torch.arange(5)
    params = decision(patchup, (5, 6, 10, 8))
    u = 1 - float(params.changed.double().mean())
    hot = F.one_hot(y, 7).double()
    other, b = hot[params.partner], params.blend.double().unsqueeze(1)
    inside = b * hot + (1 - b) * other
    reweighted = u * hot + (1 - u) * inside
    expected = (
        u * F.cross_entropy(output, hot, reduction="none")
        + (1 - u) * F.cross_entropy(output, inside, reduction="none")
        + F.cross_entropy(output, reweighted, reduction="none")
    ).mean()
    torch.testing.assert_close(params.mixture.loss(F.cross_entropy, output, y), expected, rtol=1e-6, atol=0)


def test_rows_that_are_not_mixed_have_one_term():
    patchup = fm.PatchUp(p=0.5, per="sample")
    params = decision(patchup, (64, 2, 8, 8))
    assert set(params.active.tolist()) == {True, False}
    assert torch.equal(params.mixture.scale, torch.where(params.active, 2.0, 1.0))
    assert decision(fm.PatchUp(loss_weight=1.0), (4, 2, 8, 8)).mixture.scale is None


def test_at_the_input_it_is_cutmix_counted_as_often():
    tree = fm.OneOf.over(fm.PatchUp("hard", loss_weight=2.0, p=0.7), ["input", "layer1"])
    at_input, hidden = tree.leaves()
    assert type(at_input.strategy) is fm.CutMix
    assert (at_input.strategy.loss_weight, at_input.strategy.p) == (2.0, 0.7)
    assert type(hidden.strategy) is fm.PatchUp


@pytest.mark.parametrize(
    ("third_term", "weights"), [("mixed", lambda u: (2 * u, 2 - 2 * u)), ("own", lambda u: (1 + u, 1 - u))]
)
def test_the_loss_at_the_input_is_that_of_the_preact_or_of_the_wide_resnet(third_term, weights):
    """``u l(y_i) + (1 - u) l(y_j) + l(y_rw)``; the Wide ResNet's code leaves ``y_rw`` the sample's own."""
    cutmix, output, y = fm.PatchUp(third_term=third_term).at_input(), draw(5, 7), torch.arange(5)
    for seed in range(3):
        params = decision(cutmix, (5, 3, 10, 8), seed)
        (own, other), each = weights(params.lam.double()), F.cross_entropy(output, y, reduction="none")
        expected = (own * each + other * F.cross_entropy(output, y[params.partner], reduction="none")).mean()
        torch.testing.assert_close(params.mixture.loss(F.cross_entropy, output, y), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "shape", [(3, 2, 1, 1), (3, 2, 1, 9), (3, 2, 6, 6), (3, 2, 7, 6), (3, 1, 8, 5), (1, 3, 8, 8), (0, 3, 8, 8)], ids=str
)
def test_blocks_as_large_as_the_map_or_larger(shape):
    """Of these the published code divides by zero, draws seeds likelier than 1, or gets ``u`` wrong."""
    for mode in ("soft", "hard"):
        patchup, x = fm.PatchUp(mode, block_size=7), draw(*shape)
        params = decision(patchup, shape)
        assert bool(patchup.transform(x, params).isfinite().all())
        assert bool(((params.lam >= 0) & (params.lam <= 1)).all())


@pytest.mark.parametrize(("layout", "shape"), [("bct", (4, 3, 20)), ("bhwc", (4, 8, 9, 3)), ("bcdhw", (4, 3, 5, 6, 7))])
def test_other_grids(layout, shape):
    patchup, x = fm.PatchUp("hard", gamma=0.3, block_size=3, layout=layout), draw(*shape)
    params = decision(patchup, shape)
    y = patchup.transform(x, params)
    assert bool(((y == x) | (y == x[params.partner])).all())
    assert bool((y != x).any())


@pytest.mark.parametrize(
    "settings", [{"mode": "medium"}, {"block_size": 4}, {"block_size": 0}, {"gamma": 1.5}, {"loss_weight": -1}]
)
def test_bad_settings_are_refused(settings):
    with pytest.raises(fm.FeatmixError, match=f"PatchUp: {next(iter(settings))}"):
        fm.PatchUp(**settings)


def test_a_decision_to_blend_is_blended_by_an_instance_that_pastes():
    """The decision says so: labels were decided by it, and a share of them is a share of the features."""
    soft, hard, x = fm.PatchUp("soft", gamma=0.3, block_size=3), fm.PatchUp("hard"), draw(5, 6, 10, 8)
    params = soft.make_params(x.shape, generator=torch.Generator().manual_seed(0))
    blend, partner = params.blend.double().view(-1, 1, 1, 1), x[params.partner]
    expected = torch.where(params.changed, blend * x + (1 - blend) * partner, x)
    torch.testing.assert_close(hard.transform(x, params), expected)
    torch.testing.assert_close(hard.partner_share(params, (10, 8)).double().mean((1, 2, 3)), 1 - params.lam.double())
    with pytest.raises(fm.FeatmixError, match=r"expected blocks to paste into torch\.uint8, got blocks to blend"):
        hard.transform(torch.zeros(5, 6, 10, 8, dtype=torch.uint8), params)
