import pytest

import featmix as fm
from featmix.errors import FeatmixError
from featmix.spec import Spec, at_site, parse


def test_what_is_written_is_what_is_made():
    spec = parse(" MoEx @ blocks.0 : norm=in, lam=0.50 ,positive_only=True", subject="mine")
    assert spec == Spec("moex", "lam=0.5,norm=in,positive_only=True", "blocks.0")
    assert (spec.strategy().norm, spec.strategy().lam, spec.strategy().positive_only) == ("in", 0.5, True)
    assert spec.tree().site == "blocks.0"


def test_settings_that_hold_where_nothing_else_was_written():
    assert parse("mixup", subject="mine").strategy(p=0.25).p == 0.25
    assert parse("mixup@input:p=0.5", subject="mine").tree(p=0.25).strategy.p == 0.5


def test_several_sites_take_turns():
    tree = parse("patchup@input|stem", subject="mine").tree()
    assert [(leaf.site, leaf.strategy.name) for leaf in tree.leaves()] == [("input", "cutmix"), ("stem", "patchup")]
    assert isinstance(at_site("layer1", fm.CutMix()), fm.At)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mixpu", "mine: what: expected a strategy, got 'mixpu'. Did you mean 'mixup'"),
        ("", "mine: what: expected a strategy, got ''"),
        ("none", "mine: what: expected a strategy, got 'none'"),
        ("moex@", "mine: site: expected the name of a site after '@', got 'moex@'"),
        ("moex:norm", "mine: what: expected settings as name=value, with commas between, got 'norm' in 'moex:norm'"),
        ("moex:lam=1,lam=1", "mine: what: expected each setting once, got 'lam' again"),
        ("moex:lam=2", "MoEx: lam: expected a number in"),
    ],
)
def test_errors_name_who_was_asked(text, said):
    with pytest.raises(FeatmixError) as caught:
        parse(text, subject="mine", argument="what")
    assert str(caught.value).startswith(said)
