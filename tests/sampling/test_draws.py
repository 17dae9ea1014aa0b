import functools
import itertools
from collections import Counter
from math import sqrt

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Generator

from featmix import FeatmixError
from featmix.sampling import boxes as boxing
from featmix.sampling import draws as sampling
from featmix.sampling import masks as masking


def seeded(seed=0):
    return sampling.stream(Generator().manual_seed(seed))


def is_permutation(rows):
    return sorted(rows.tolist()) == list(range(len(rows)))


@pytest.mark.parametrize("n", range(2, 9))
def test_derangement_has_no_fixed_point(n):
    random = seeded()
    for _ in range(50):
        rows = sampling.partners(random, n)
        assert rows.dtype == np.int64
        assert is_permutation(rows)
        assert not (rows == np.arange(n)).any()


@pytest.mark.parametrize("kind", sampling.PARTNERS)
@pytest.mark.parametrize("n", [0, 1])
def test_with_nobody_else_a_row_is_its_own_partner(n, kind):
    rows = sampling.partners(seeded(), n, kind)
    assert rows.dtype == np.int64
    assert rows.tolist() == list(range(n))


@pytest.mark.parametrize(("kind", "outcomes"), [("derangement", 9), ("permutation", 24)])
def test_partners_are_uniform(kind, outcomes):
    random = seeded()
    counts = Counter(tuple(sampling.partners(random, 4, kind).tolist()) for _ in range(200 * outcomes))
    assert len(counts) == outcomes
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


@pytest.mark.parametrize("n", range(2, 9))
def test_without_labels_the_halves_take_from_each_other(n):
    random, half = seeded(), n // 2
    seen = set()
    for _ in range(200):
        rows = sampling.partners(random, n, "crossdomain")
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
    random, domain = seeded(), np.array(domain)
    seen = set()
    for _ in range(200):
        rows = sampling.partners(random, len(domain), "crossdomain", domain=domain)
        assert rows.dtype == np.int64
        assert (domain[rows] != domain).all()
        assert is_permutation(rows) or not permutation
        seen |= set(enumerate(rows.tolist()))
    choices = itertools.permutations if permutation else functools.partial(itertools.product, repeat=len(domain))
    allowed = [rows for rows in choices(range(len(domain))) if (domain[list(rows)] != domain).all()]
    assert seen == {pair for rows in allowed for pair in enumerate(rows)}  # sooner or later, whoever can be drawn is


def test_in_a_single_domain_rows_stay_alone():
    assert sampling.partners(seeded(), 4, "crossdomain", domain=np.full(4, 3)).tolist() == [0, 1, 2, 3]
    assert sampling.partners(seeded(), 0, "crossdomain", domain=np.empty(0, dtype=np.int64)).tolist() == []


def test_unknown_kind_is_refused():
    with pytest.raises(FeatmixError, match="partners: kind: expected one of derangement, permutation, crossdomain"):
        sampling.partners(seeded(), 4, "randperm")


@pytest.mark.parametrize("kind", ["derangement", "permutation", "crossdomain"])
@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_takers_are_the_inverse_of_a_permutation(n, kind):
    random = seeded()
    for _ in range(20):
        partner = sampling.partners(random, n, kind)
        taker = sampling.takers(partner)
        for i, j in enumerate(partner.tolist()):
            assert taker[j] == (i if i != j else -1)


def test_takers_of_rows_that_stay_alone():
    """Rows 1 and 3 take from nobody; row 3 is taken from all the same, and nobody takes from row 2."""
    taker = sampling.takers(np.array([3, 1, 0, 3]))
    assert taker.dtype == np.int64
    assert taker.tolist() == [2, -1, -1, 0]


def test_there_are_no_takers_where_two_rows_take_from_one():
    assert sampling.takers(np.array([1, 0, 1])) is None
    assert sampling.takers(np.array([2, 2, 2])) is None
    assert sampling.takers(np.empty(0, dtype=np.int64)).tolist() == []


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_gate_never_and_always(per):
    random = seeded()
    for _ in range(20):
        gates = sampling.gate(random, 50, 0.0, per=per), sampling.gate(random, 50, 1.0, per=per)
        assert [gate.dtype for gate in gates] == [np.bool_, np.bool_]
        assert not gates[0].any()
        assert gates[1].all()


class Fixed:
    """A stream that gives the same number every time."""

    def __init__(self, number):
        self.number = number

    def random(self, size=None):
        return self.number if size is None else np.full(size, self.number)


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_gate_at_the_ends_of_what_uniform_gives(per):
    for drawn, p, fires in [(0.0, 0.0, False), (1 - 2**-53, 1.0, True)]:
        assert bool(sampling.gate(Fixed(drawn), 3, p, per=per).any()) is fires


@pytest.mark.parametrize("p", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("per", ["batch", "sample"])
def test_gate_frequency(per, p):
    random, trials = seeded(), 2000
    if per == "sample":
        hits = int(sampling.gate(random, trials, p, per=per).sum())
    else:
        gates = [sampling.gate(random, 3, p, per=per) for _ in range(trials)]
        assert all(gate.all() == gate.any() for gate in gates)
        hits = sum(bool(gate[0]) for gate in gates)
    assert abs(hits - trials * p) <= 5 * sqrt(trials * p * (1 - p))


@pytest.mark.parametrize("alpha", [1e-3, 0.1, 1.0, 1e3])
def test_beta_has_its_mass_in_the_right_place(alpha):
    n = 20_000
    lam = sampling.beta(seeded(), n, alpha, alpha)
    assert lam.dtype == np.float64
    assert np.isfinite(lam).all()
    assert lam.min() >= 0
    assert lam.max() <= 1
    for low, high in [(0.45, 0.55), (0.49, 0.5), (0.0, 0.1), (0.9, 1.0)]:
        p = stats.beta.cdf(high, alpha, alpha) - stats.beta.cdf(low, alpha, alpha)
        hits = ((lam > low) & (lam <= high)).sum() if low else (lam <= high).sum()
        assert abs(hits - n * p) <= 5 * sqrt(n * p * (1 - p)) + 1e-6


@pytest.mark.parametrize(("a", "b"), [(2.0, 1.0), (1.2, 0.2), (0.5, 3.0)])
def test_unequal_beta_is_beta(a, b):
    drawn = sampling.beta(seeded(), 4000, a, b)
    assert stats.kstest(drawn, stats.beta(a, b).cdf).pvalue > 1e-3


@pytest.mark.parametrize(("a", "b"), [(0.1, 0.1), (2.0, 1.0), (1.2, 0.2), (1e3, 1e3)])
def test_strengths_drawn_one_at_a_time_are_beta_too(a, b):
    random = seeded()
    drawn = np.concatenate([sampling.beta(random, 1, a, b) for _ in range(2000)])
    assert drawn.dtype == np.float64
    assert stats.kstest(drawn, stats.beta(a, b).cdf).pvalue > 1e-3


def test_without_b_nothing_is_mixed_and_an_empty_batch_has_no_strengths():
    assert sampling.beta(seeded(), 6, 0, 0).tolist() == [1] * 6
    assert sampling.beta(seeded(), 1, 1.0, 0.0).tolist() == [1]
    assert sampling.beta(seeded(), 0, 1.0, 1.0).shape == (0,)


@pytest.mark.parametrize("n", [1, 100])
def test_a_tiny_alpha_gives_no_nan(n):
    random = seeded()
    lam = np.concatenate([sampling.beta(random, n, 1e-310, 1e-310) for _ in range(200 // n)])
    assert ((lam >= 0) & (lam <= 1)).all()
    assert set(lam.tolist()) == {0.0, 1.0}


def test_noise_is_standard_normal():
    noise = sampling.normal(seeded(), (50, 40, 2))
    assert noise.shape == (50, 40, 2)
    assert noise.dtype == np.float32
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3


def test_uniform_numbers_are_uniform():
    drawn = sampling.uniform(seeded(), 4000)
    assert drawn.dtype == np.float64
    assert stats.kstest(drawn, "uniform").pvalue > 1e-3


DRAWS = {
    "uniform": lambda r: sampling.uniform(r, 50),
    "normal": lambda r: sampling.normal(r, (5, 3)),
    "gate": lambda r: sampling.gate(r, 50, 0.5, per="sample"),
    "beta": lambda r: sampling.beta(r, 50, 0.5, 0.5),
    "one strength": lambda r: sampling.beta(r, 1, 0.5, 0.5),
    "derangement": lambda r: sampling.partners(r, 50),
    "permutation": lambda r: sampling.partners(r, 50, "permutation"),
    "halves": lambda r: sampling.partners(r, 50, "crossdomain"),
    "domains": lambda r: sampling.partners(r, 50, "crossdomain", domain=np.arange(50) % 4),
    "unbalanced": lambda r: sampling.partners(r, 50, "crossdomain", domain=np.arange(50).clip(max=20)),
    "boxes": lambda r: boxing.boxes(r, (64, 64), np.full(50, 0.5)),
    "one box": lambda r: boxing.boxes(r, (64, 64), np.full(1, 0.5)),
    "boxes inside": lambda r: boxing.boxes_inside(r, (64, 64), np.full(50, 0.5)),
    "crops": lambda r: boxing.crops(r, 5, (9, 9)),
    "channel orders": lambda r: boxing.channel_orders(r, 2, 9),
    "smooth fields": lambda r: masking.smooth_fields(r, 2, (8, 8), 3.0),
    "largest share": lambda r: masking.largest_share(r, np.arange(50 * 9.0).reshape(50, 9), np.full(50, 0.5)),
    "blocks": lambda r: masking.blocks(r, 4, (9, 9), 0.5, 3),
}


@pytest.mark.parametrize("name", DRAWS)
def test_a_stream_is_the_only_source(name):
    before, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, again, other = DRAWS[name](seeded(1)), DRAWS[name](seeded(1)), DRAWS[name](seeded(2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpys)


@pytest.mark.parametrize("name", DRAWS)
def test_without_a_generator_torch_seeds(name):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        first = DRAWS[name](sampling.stream())
        torch.manual_seed(3)
        assert np.array_equal(DRAWS[name](sampling.stream()), first)
        assert not np.array_equal(DRAWS[name](sampling.stream()), first)


def test_a_stream_takes_one_number_of_a_generator():
    generator, other = Generator().manual_seed(5), Generator().manual_seed(5)
    first, second = sampling.stream(generator).random(4), sampling.stream(generator).random(4)
    assert not np.array_equal(first, second)
    torch.empty((), dtype=torch.int64).random_(generator=other)
    assert np.array_equal(sampling.stream(other).random(4), second)


def test_a_borrowed_stream_is_the_one_that_a_generator_gives():
    one, other = Generator().manual_seed(5), Generator().manual_seed(5)
    for _ in range(3):  # also one that was used before, in the middle of its buffer
        expected = sampling.stream(other)
        with sampling.borrowed(one) as random:
            assert random.random() == expected.random()
            assert random.integers(2**31, dtype=np.int32) == expected.integers(2**31, dtype=np.int32)
            assert np.array_equal(random.standard_normal(5), expected.standard_normal(5))


def test_two_streams_borrowed_at_once_are_two():
    with sampling.borrowed(Generator().manual_seed(1)) as outer:
        first = outer.random()
        with sampling.borrowed(Generator().manual_seed(1)) as inner:
            assert inner is not outer
            assert inner.random() == first
        assert outer.random() != first


def test_a_stream_comes_back_after_an_error():
    def fails():
        with sampling.borrowed(Generator().manual_seed(1)):
            raise RuntimeError("on purpose")

    before = len(sampling._spare.streams)
    with pytest.raises(RuntimeError, match="on purpose"):
        fails()
    assert len(sampling._spare.streams) == max(before, 1)


def test_numbers_of_rows_are_shared_and_cannot_be_written_to():
    assert sampling.rows(4).tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="read-only"):
        sampling.rows(4)[0] = 1


class OnCuda:
    """A generator of a CUDA device, as far as a stream looks at one."""

    def __init__(self, seed):
        self.device, self.seed, self.offset = torch.device("cuda"), seed, 0

    def initial_seed(self):
        return self.seed

    def get_offset(self):
        return self.offset

    def set_offset(self, offset):
        assert offset % 4 == 0  # CUDA's own Philox takes no other
        self.offset = offset


def test_a_generator_on_a_gpu_moves_on_by_a_step_for_each_stream():
    one, same, other = OnCuda(3), OnCuda(3), OnCuda(4)
    drawn = [sampling.stream(generator).random() for generator in (one, one, same, other)]
    assert one.offset > same.offset > 0
    assert drawn[0] == drawn[2]
    assert len(set(drawn)) == 3


def test_a_long_run_is_skipped_in_parts(monkeypatch):
    """So that a checkpoint that says 10^9 draws takes no 8 GB."""
    one, other = (torch.Generator().manual_seed(0) for _ in range(2))
    sampling.skip(one, 50)
    monkeypatch.setattr(sampling, "_SKIPPED_AT_ONCE", 16)
    sampling.skip(other, 50)
    assert torch.equal(one.get_state(), other.get_state())
    for _ in range(50):
        sampling.stream(one)
    sampling.skip(other, 50)
    assert torch.equal(one.get_state(), other.get_state())
