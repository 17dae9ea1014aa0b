import pytest

import featmix as fm
from featmix.mixer.words import strategy_in_words


def test_settings_that_matter_are_said():
    assert strategy_in_words(fm.MoEx()) == "MoEx(norm='pono', lam=0.9, p=1.0)"
    assert strategy_in_words(fm.Mixup(alpha=0.5, per="sample")) == "Mixup(alpha=0.5, p=1.0, per='sample')"
    scheduled = fm.Mixup(p=fm.schedule.linear(0, 1))
    assert strategy_in_words(scheduled) == "Mixup(alpha=1.0, p=linear(start=0, end=1))"


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (fm.At("a", fm.Mixup(), call=1), "At('a', Mixup(alpha=1.0, p=1.0), call=1)"),
        (fm.At("a", fm.Mixup(), output=0, groups=4), "At('a', Mixup(alpha=1.0, p=1.0), output=0, groups=4)"),
        (fm.At("a", fm.Mixup(), output=["x", 1]), "At('a', Mixup(alpha=1.0, p=1.0), output=('x', 1))"),
        (fm.Compose([fm.At("a", fm.Mixup())]), "Compose([At('a', Mixup(alpha=1.0, p=1.0))])"),
        (
            fm.Compose([fm.At("a", fm.Mixup()), fm.At("b", fm.Mixup(alpha=2.0))], share_partner=True),
            "Compose([At('a', Mixup(alpha=1.0, p=1.0)), At('b', Mixup(alpha=2.0, p=1.0))], share_partner=True)",
        ),
        (
            fm.SomeOf([fm.At(site, fm.Mixup()) for site in "abc"], count=2),
            "SomeOf([At(site, Mixup(alpha=1.0, p=1.0)) for site in ('a', 'b', 'c')], count=2)",
        ),
        (
            fm.OneOf([fm.At("a", fm.Mixup()), fm.Compose([fm.At("b", fm.Mixup())])], weights=[1, 3]),
            "OneOf([At('a', Mixup(alpha=1.0, p=1.0)), Compose([At('b', Mixup(alpha=1.0, p=1.0))])], weights=[1, 3])",
        ),
        (
            fm.Compose([fm.At(f"layer{k}", fm.Mixup()) for k in range(7)]),
            "Compose([At(site, Mixup(alpha=1.0, p=1.0)) for site in <7 from 'layer0' to 'layer6'>])",
        ),
    ],
)
def test_a_tree_reads_like_what_makes_it(tree, said):
    assert repr(tree) == said


@pytest.mark.parametrize("name", fm.list_strategies())
def test_what_is_printed_makes_the_same_again(name):
    tree = fm.OneOf([fm.At(site, fm.create(name, p=0.25)) for site in ("input", "layer1")])
    classes = {type(leaf.strategy).__name__: type(leaf.strategy) for leaf in tree.leaves()}
    again = eval(repr(tree), {"At": fm.At, "OneOf": fm.OneOf, **classes})
    assert repr(again) == repr(tree)
    assert [leaf.strategy.settings() for leaf in again.leaves()] == [leaf.strategy.settings() for leaf in tree.leaves()]
