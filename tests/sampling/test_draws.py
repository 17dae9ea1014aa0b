import functools
import itertools
from collections import Counter
from math import sqrt

import numpy as np
import pytest
import torch
from scipy import stats

from featmix import FeatmixError
from featmix.sampling import draws as sampling


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def is_permutation(rows):
    return sorted(rows.tolist()) == list(range(len(rows)))


@pytest.mark.parametrize("n", range(2, 9))
def test_derangement_has_no_fixed_point(n):
    g = seeded()
    for _ in range(50):
        rows = sampling.partners(n, generator=g)
        assert rows.dtype == torch.int64
        assert is_permutation(rows)
        assert not bool((rows == torch.arange(n)).any())


@pytest.mark.parametrize("kind", sampling.PARTNERS)
@pytest.mark.parametrize("n", [0, 1])
def test_with_nobody_else_a_row_is_its_own_partner(n, kind):
    assert sampling.partners(n, kind).tolist() == list(range(n))


@pytest.mark.parametrize(("kind", "outcomes"), [("derangement", 9), ("permutation", 24)])
def test_partners_are_uniform(kind, outcomes):
    g = seeded()
    counts = Counter(tuple(sampling.partners(4, kind, generator=g).tolist()) for _ in range(200 * outcomes))
    assert len(counts) == outcomes
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize("n", range(2, 9))
def test_without_labels_the_halves_take_from_each_other(n):
    g, half = seeded(), n // 2
    seen = set()
    for _ in range(200):
        rows = sampling.partners(n, "crossdomain", generator=g)
        assert is_permutation(rows)
        seen |= set(enumerate(rows.tolist()))
    # The first half is the larger one of an odd batch, so that its middle row may draw itself.
    assert seen == {(i, j) for i in range(n) for j in range(n) if (j >= half) == (i < n - half)}


@pytest.mark.parametrize(
    ("domain", "permutation"),
    [
        ([0, 0, 1, 1], True),
        ([7, -3, 7, -3, 7, -3], True),
        ([0, 1, 2, 0, 1, 2], True),
        ([0, 0, 1, 2], True),
        ([0, 1, 2, 3, 3], True),
        ([0, 0, 0, 1], False),
        ([1, 0, 0, 0, 2], False),
    ],
)
def test_labelled_domains_take_from_another(domain, permutation):
    g, domain = seeded(), torch.tensor(domain)
    seen = set()
    for _ in range(200):
        rows = sampling.partners(len(domain), "crossdomain", domain=domain, generator=g)
        assert bool((domain[rows] != domain).all())
        assert is_permutation(rows) or not permutation
        seen |= set(enumerate(rows.tolist()))
    choices = itertools.permutations if permutation else functools.partial(itertools.product, repeat=len(domain))
    allowed = [rows for rows in choices(range(len(domain))) if bool((domain[list(rows)] != domain).all())]
    assert seen == {pair for rows in allowed for pair in enumerate(rows)}  # sooner or later, whoever can be drawn is


def test_in_a_single_domain_rows_stay_alone():
    rows = sampling.partners(4, "crossdomain", domain=torch.full((4,), 3), generator=seeded())
    assert rows.tolist() == [0, 1, 2, 3]


def test_unknown_kind_is_refused():
    with pytest.raises(FeatmixError, match="partners: kind: expected one of derangement, permutation, crossdomain"):
        sampling.partners(4, "randperm")


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_gate_never_and_always(per):
    g = seeded()
    for _ in range(20):
        assert not bool(sampling.gate(50, 0.0, per=per, generator=g).any())
        assert bool(sampling.gate(50, 1.0, per=per, generator=g).all())


def test_gate_at_the_ends_of_what_uniform_gives(monkeypatch):
    for draw, p, fires in [(0.0, 0.0, False), (1 - 2**-53, 1.0, True)]:
        monkeypatch.setattr(sampling, "uniform", lambda n, generator, draw=draw: torch.full((n,), draw, dtype=torch.float64))
        assert bool(sampling.gate(3, p, per="sample").any()) is fires


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("per", ["batch", "sample"])
def test_gate_frequency(per, p):
    g, trials = seeded(), 2000
    if per == "sample":
        hits = int(sampling.gate(trials, p, per=per, generator=g).sum())
    else:
        gates = [sampling.gate(3, p, per=per, generator=g) for _ in range(trials)]
        assert all(bool(gate.all()) == bool(gate.any()) for gate in gates)
        hits = sum(bool(gate[0]) for gate in gates)
    assert abs(hits - trials * p) <= 5 * sqrt(trials * p * (1 - p))


@pytest.mark.parametrize("alpha", [1e-3, 0.1, 1.0, 1e3])
def test_beta_has_its_mass_in_the_right_place(alpha):
    n = 20_000
    lam = sampling.beta(n, alpha, per="sample", generator=seeded()).numpy()
    assert lam.dtype == np.float64
    assert np.isfinite(lam).all()
    assert lam.min() >= 0
    assert lam.max() <= 1
    for low, high in [(0.45, 0.55), (0.49, 0.5), (0.0, 0.1), (0.9, 1.0)]:
        p = stats.beta.cdf(high, alpha, alpha) - stats.beta.cdf(low, alpha, alpha)
        hits = ((lam > low) & (lam <= high)).sum() if low else (lam <= high).sum()
        assert abs(hits - n * p) <= 5 * sqrt(n * p * (1 - p)) + 1e-6


def test_beta_per_batch_and_without_mixing():
    drawn = sampling.beta(6, 0.5, per="batch", generator=seeded())
    assert drawn.shape == (6,)
    assert len(drawn.unique()) == 1
    assert len(sampling.beta(6, 0.5, per="sample", generator=seeded()).unique()) == 6
    assert bool((sampling.beta(6, 0, per="sample") == 1).all())


def test_a_tiny_alpha_gives_no_nan():
    lam = sampling.beta(1000, 1e-310, per="sample", generator=seeded())
    assert bool(((lam >= 0) & (lam <= 1)).all())


DRAWS = {
    "uniform": lambda g: sampling.uniform(50, g),
    "gate": lambda g: sampling.gate(50, 0.5, per="sample", generator=g),
    "beta": lambda g: sampling.beta(50, 0.5, per="sample", generator=g),
    "derangement": lambda g: sampling.partners(50, generator=g),
    "permutation": lambda g: sampling.partners(50, "permutation", generator=g),
    "halves": lambda g: sampling.partners(50, "crossdomain", generator=g),
    "domains": lambda g: sampling.partners(50, "crossdomain", domain=torch.arange(50) % 4, generator=g),
    "unbalanced": lambda g: sampling.partners(50, "crossdomain", domain=torch.arange(50).clamp(max=20), generator=g),
    "boxes": lambda g: sampling.boxes((64, 64), torch.full((50,), 0.5), g, per="sample"),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_generator_is_the_only_source(name):
    before = torch.get_rng_state()
    first, again, other = DRAWS[name](seeded(1)), DRAWS[name](seeded(1)), DRAWS[name](seeded(2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", DRAWS)
def test_without_a_generator_torch_seeds(name):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = DRAWS[name](None)
        torch.manual_seed(3)
        assert torch.equal(DRAWS[name](None), first)
        assert not torch.equal(DRAWS[name](None), first)


@pytest.mark.parametrize("sizes", [(17,), (9, 14), (1, 1), (8, 5, 12)])
def test_boxes_lie_in_the_map_and_have_the_side_of_the_paper(sizes):
    n, d = 500, len(sizes)
    lam = torch.rand(n, dtype=torch.float64, generator=seeded())
    box = sampling.boxes(sizes, lam, seeded(1), per="sample")
    assert box.shape == (n, d, 2)
    assert box.dtype == torch.int64
    for k, size in enumerate(sizes):
        first, past = box[:, k].unbind(1)
        side = torch.tensor([int(size * (1 - float(share)) ** (1 / d)) for share in lam])
        assert bool(((first >= 0) & (first <= past) & (past <= size)).all())
        clipped = (first == 0) | (past == size)
        assert bool((past - first <= side // 2 * 2).all())
        assert torch.equal((past - first)[~clipped], (side // 2 * 2)[~clipped])
        assert bool((past - first >= side // 2).all())  # the centre lies in the map, so that half a box does


def test_centres_are_uniform():
    box = sampling.boxes((8,), torch.full((8000,), 0.5), seeded(), per="sample")[:, 0]
    centre = torch.where(box[:, 0] > 0, box[:, 0] + 2, box[:, 1] - 2)  # side 4
    assert stats.chisquare(centre.bincount(minlength=8)).pvalue > 1e-3


def test_lam_1_is_an_empty_box_and_lam_0_may_be_the_whole_map():
    empty = sampling.boxes((6, 6), torch.ones(50), seeded(), per="sample")
    assert bool((empty[..., 0] == empty[..., 1]).all())
    full = sampling.boxes((6, 6), torch.zeros(500), seeded(), per="sample")
    assert bool((full == torch.tensor([0, 6])).flatten(1).all(1).any())


def test_one_centre_for_the_batch_or_one_a_sample():
    lam = torch.full((40,), 0.5)
    assert len(sampling.boxes((32, 32), lam, seeded()).unique(dim=0)) == 1
    assert len(sampling.boxes((32, 32), lam, seeded(), per="sample").unique(dim=0)) > 10


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_boxes_of_an_empty_batch(per):
    assert sampling.boxes((4, 4), torch.empty(0), seeded(), per=per).shape == (0, 2, 2)
