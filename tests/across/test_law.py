"""W ranks of B rows do what one process of W·B rows does with the same decision: outputs, averaged gradients, labels."""

import pytest
import torch

import featmix as fm
from tests.across.networks import CLASSES, data
from tests.across.ranks import RANKS, STRATEGIES

TOLERANCE = {"torch.float32": 1e-6, "torch.float64": 1e-12}


def holds(each, tolerance=1e-12, *, remote=True):
    assert max(each["outputs"], each["gradients"], each["labels"]) < tolerance
    assert not remote or each["remote"]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_in_four_processes(name, dtype, found):
    for rank in range(RANKS):
        holds(found[rank]["strategies"][f"{name} {dtype}"], TOLERANCE[dtype], remote=False)
    if name not in ("dsu", "csu"):
        assert any(found[rank]["strategies"][f"{name} {dtype}"]["remote"] for rank in range(RANKS))


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_two_processes_of_a_group_of_their_own(dtype, found):
    for rank in range(RANKS):
        holds(found[rank]["pairs"][dtype], TOLERANCE[dtype], remote=False)
    assert any(found[rank]["pairs"][dtype]["remote"] for rank in range(RANKS))


@pytest.mark.parametrize("kind", ["fsdp2", "non-reentrant", "reentrant"])
def test_sharded_and_checkpointed(kind, found):
    for rank in range(RANKS):
        holds(found[rank]["wrappers"][kind], remote=False)


@pytest.mark.parametrize(
    "kind",
    [
        "two sites",
        "one of two",
        "some of two",
        "one partner",
        "each row by itself",
        "no rows on a rank",
        "one row a rank",
        "spread over uneven ranks",
        "chosen rows",
        "domains",
    ],
)
def test_trees_and_uneven_batches(kind, found):
    for rank in range(RANKS):
        holds(found[rank]["trees"][kind], remote=False)
    if kind != "spread over uneven ranks":
        assert any(found[rank]["trees"][kind]["remote"] for rank in range(RANKS))


@pytest.mark.parametrize("name", ["moex", "mixstyle", "dsu", "some rows"])
def test_by_the_kernels_of_large_features(name, found):
    for rank in range(RANKS):
        holds(found[rank]["kernels"][name], 1e-6, remote=False)


@pytest.mark.parametrize("kind", ["soft", "wide", "many", "numbers", "narrow"])
def test_labels_of_all_kinds(kind, found):
    for rank in range(RANKS):
        apart, same = found[rank]["targets"][kind]
        assert apart < 1e-6
        assert same


def test_labels_that_each_rank_mixes_before(found):
    for rank in range(RANKS):
        assert len(found[rank]["mixed_before"]) == 12
        assert max(found[rank]["mixed_before"]) < 1e-6


def test_gradients_accumulate_without_communication(found):
    assert max(found[rank]["accumulated"] for rank in range(RANKS)) < 1e-12


def test_compiled_in_one_graph(found):
    for rank in range(2):
        for kind, one in found[rank]["compiled"].items():
            assert one["off"] < 1e-12, kind
            assert one["graphs"] <= 2, kind


def test_without_a_model_and_resumed(found):
    for rank in range(RANKS):
        each = found[rank]["alone"]
        assert max(each["apart"], each["labels"], each["made"]) < 1e-6
        assert each["resumed"]


def test_one_dimension_of_a_mesh(found):
    for rank in range(RANKS):
        holds(found[rank]["meshes"], remote=False)
        assert found[rank]["meshes"]["same"]
        assert "mesh['replicate']" in found[rank]["meshes"]["refused"]


def test_the_ranks_of_a_node(found):
    assert [found[rank]["nodes"] for rank in range(RANKS)] == [(2, (2, 2), rank % 2) for rank in range(RANKS)]


def test_a_step_sends_moments_and_nothing_else(found):
    rows, channels = 2, 6
    for rank in range(RANKS):
        for name, backward in (("moex in", {"reduce_scatter_tensor": [RANKS * rows * channels * 2 * 4]}), ("mixstyle", {})):
            each = found[rank]["bytes_and_calls"][name]
            assert each["forward"] == {"all_gather_into_tensor": [rows * channels * 2 * 4]}
            assert each["backward"] == backward
            assert each["draw"] == 18 * 8 + 1024


def test_alone_it_is_as_without():
    x, y = data(6, torch.float32)
    one, other = (fm.MoEx(across=across, num_classes=CLASSES) for across in (True, False))
    for a, b in zip(*(s(x, y, generator=torch.Generator().manual_seed(0)) for s in (one, other)), strict=True):
        assert torch.equal(a, b)
