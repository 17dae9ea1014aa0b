"""Names and numbers are written in ASCII: digits of other scripts look like them, and Python takes many for them."""

import pytest

import featmix as fm
from featmix.compare.settings import resolve
from featmix.presets.registry import recipe
from featmix.spec import parse

WIDE = "０１２３４５６７８９"


@pytest.mark.parametrize(
    "use",
    [
        lambda: fm.normalizer(f"gn{WIDE[8]}"),
        lambda: fm.normalizer(f"gpono-d{WIDE[2]}"),
        lambda: fm.normalizer("gn" + "9" * 5000),
        lambda: fm.from_dict({"strategy": {"name": "moex", "norm": f"gn{WIDE[2]}"}}),
        lambda: parse(f"moex:lam={WIDE[0]}.{WIDE[5]}", subject="f"),
        lambda: parse(f"moex:norm=gn{WIDE[2]}", subject="f"),
        lambda: parse("moex:ｌａｍ=0.5", subject="f"),
        lambda: parse("moex:lam=----1", subject="f"),
        lambda: parse("moex:lam=" + "-" * 100_000 + "1", subject="f"),
        lambda: parse("moex:lam=" + "[" * 500, subject="f"),
        lambda: parse("moex:lam={[]}", subject="f"),
        lambda: parse("moex:lam=" + "9" * 5000, subject="f"),
        lambda: fm.preset("moex/imagenet-resnet" + WIDE[5] + WIDE[0]),
        lambda: fm.create("mo\u0435x"),  # a Cyrillic letter
        lambda: fm.register(f"mine{WIDE[1]}")(type("Mine", (fm.Mixup,), {})),
        lambda: recipe(f"mine/a{WIDE[1]}", source="x"),
        lambda: resolve({"device": f"cuda:{WIDE[1]}"}),
        lambda: resolve({"device": "cuda:²"}),
    ],
)
def test_other_digits_are_refused(use):
    with pytest.raises(fm.FeatmixError):
        use()
