import pytest

import featmix as fm
from featmix.compare.network import SITES
from featmix.compare.stand_ins import on_small_network
from featmix.presets.registry import preset


@pytest.mark.parametrize("name", fm.list_presets())
def test_every_preset_stands_on_the_small_network_at_one_place_a_stage(name):
    leaves = [(leaf.site, repr(leaf.strategy)) for leaf in on_small_network(preset(name)).leaves()]
    assert {site for site, _ in leaves} <= set(SITES)
    assert len(set(leaves)) == len(leaves)


def test_equal_members_come_to_one_with_the_weight_of_all():
    sites = ["input", "layer1.0", "layer1.1", "layer2.0"]
    tree = on_small_network(fm.OneOf.over(fm.Mixup(), sites, weights=[1, 2, 3, 4]))
    assert [leaf.site for leaf in tree.leaves()] == ["input", "layer1", "layer2"]
    assert tree.weights == [1, 5, 4]


def test_no_more_act_at_a_time_than_there_are():
    tree = on_small_network(fm.SomeOf([fm.At(f"layer1.{n}", fm.CrossNorm(p=1.0)) for n in range(4)], count=2, p=0.5))
    assert (len(tree.members), tree.count, tree.p) == (1, 1, 0.5)


def test_partners_stay_shared():
    tree = on_small_network(preset("cutmix+moex/imagenet"))
    assert [leaf.site for leaf in tree.leaves()] == ["input", "stem"]
    assert tree.share_partner == preset("cutmix+moex/imagenet").share_partner
