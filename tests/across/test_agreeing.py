"""What ranks refuse that do not agree, and one that waits in vain."""

import copy

import pytest
import torch

import featmix as fm
from featmix.across import link
from tests.across.ranks import RANKS

TOLD = {
    "settings": "the same strategies, with the same settings, on all ranks, got others on rank 2",
    "labels": "labels of one dtype and shape on all ranks, got others on rank 1",
    "domains": "domain labels on all ranks or on none, got others on rank 3",
    "no labels": "Pass target= when drawing",
    "partners": "All ranks draw them together",
    "mask": "expected None, for a strategy with across=, got padding",
    "mixed before": "without a memory, or after it, got Mixup at input before MoEx at stem",
}


@pytest.mark.parametrize("name", TOLD)
def test_all_ranks_are_told(name, found):
    for rank in range(RANKS):
        assert TOLD[name] in found[rank]["refused"][name]


def test_a_rank_that_skips_lets_all_rest_and_go_on(found):
    assert all(found[rank]["refused"]["skipped"] for rank in range(RANKS))
    assert all(found[rank]["refused"]["goes on"] == 2 * RANKS for rank in range(RANKS))


def test_labels_that_one_rank_mixes_afterwards(found):
    for rank in range(RANKS):
        apart, columns = found[rank]["refused"]["mixed after"]
        assert apart < 1e-6
        assert columns == 4


def test_a_rank_that_does_not_draw_is_found_out(found):
    for rank in (0, 1, 3):
        assert "none from rank 2" in found[rank]["waited"]
        assert "mixer.skip()" in found[rank]["waited"]
    assert found[2]["waited"] is None


def test_groups_that_are_made_anew(found):
    for rank in range(RANKS):
        size, told = found[rank]["restarted"]
        assert size == RANKS
        assert "one that is gone" in told


@pytest.mark.parametrize("name", [n for n in fm.list_strategies() if not fm.strategy_class(n).lends_moments])
def test_strategies_that_take_features_say_what_works(name):
    for make in (fm.strategy_class(name), lambda **settings: fm.create(name, **settings)):
        with pytest.raises(fm.FeatmixError, match="Across ranks work crossnorm, csu, dsu, mixstyle, moex, padain"):
            make(across=True)


@pytest.mark.parametrize("settings", [{"crop": "style"}, {"crop": "content"}, {"crop": "both"}])
def test_crops_are_refused(settings):
    with pytest.raises(fm.FeatmixError, match="crop='neither'"):
        fm.CrossNorm(across=True, **settings)


def test_a_memory_and_other_words_are_refused():
    with pytest.raises(fm.FeatmixError, match="Leave out memory= or across="):
        fm.MoEx(memory=8, across=True)
    for wrong in ("world", 1, None):
        with pytest.raises(fm.FeatmixError, match="a process group or a device mesh of one dimension"):
            fm.MixStyle(across=wrong)
    mixer = fm.attach(
        torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1)), {"input": fm.MoEx(across=True), "0": fm.DSU(across="node")}
    )
    with pytest.raises(fm.FeatmixError, match="one value for all strategies"):
        mixer.skip()


def test_a_class_that_acts_in_its_own_way_is_refused():
    class Own(fm.MoEx):
        def act(self, x, params):
            return x.index_select(0, params.partner)

    class Blended(fm.MoEx):
        def new_moments(self, own, partner, params):
            return own

    with pytest.raises(fm.FeatmixError, match="Write new_moments in its place"):
        Own(across=True)
    assert Blended(across=True).across is True


def test_a_worker_of_a_loader_meets_nobody(monkeypatch):
    monkeypatch.setattr(link, "get_worker_info", lambda: "a worker")
    strategy = fm.MixStyle(across=True, p=1.0)
    assert strategy(torch.randn(4, 3, 5, 5)).shape == (4, 3, 5, 5)  # nobody to meet anywhere
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(fm.FeatmixError, match="a worker of a data loader"):
        strategy(torch.randn(4, 3, 5, 5))


def test_nodes_that_nobody_knows(monkeypatch):
    class Group:
        def size(self):
            return 6

    for count, told in (("", "no LOCAL_WORLD_SIZE"), ("4", "LOCAL_WORLD_SIZE=4 of 6 ranks")):
        monkeypatch.setenv("LOCAL_WORLD_SIZE", count or "0")
        with pytest.raises(fm.FeatmixError, match=told):
            link._node("MoEx", Group())


@pytest.mark.parametrize("across", [True, "node", "all", False])
def test_the_setting_goes_through_a_configuration(across):
    tree = {"stem": fm.MoEx(across=across), "block": fm.DSU(across=across)}
    again = fm.from_dict(
        fm.to_dict(fm.attach(torch.nn.ModuleDict({"stem": torch.nn.Tanh(), "block": torch.nn.Tanh()}), tree).tree)
    )
    assert [leaf.strategy.across for leaf in again.leaves()] == [across, across]
    strategy = copy.deepcopy(fm.MixStyle(across=across))
    strategy.load_state_dict(fm.MixStyle(across=across).state_dict())
    assert fm.create("mixstyle", **strategy.settings()).across == across


def test_a_group_is_of_one_run_and_in_no_file():
    strategy = fm.MoEx(across=link.Group("7"))
    assert copy.deepcopy(strategy).across == strategy.across
    written = fm.to_dict(fm.MoEx())
    written["strategy"]["across"] = {"process_group": "7"}
    for refused in (lambda: fm.to_dict(strategy), lambda: fm.from_dict(written)):
        with pytest.raises(fm.FeatmixError, match=r"strategy\.across = group"):
            refused()
