"""Presets: every one is built; the figures stand here once more, as papers and authors' code have them."""

import re
import sys

import pytest
import torch
from torch.nn import functional as F

import featmix as fm
from featmix.mixer.tree import Request
from featmix.presets.registry import known_presets, recipe
from featmix.sampling.draws import stream
from tests.networks import NETWORKS

STAGES = ["layer1", "layer2", "layer3", "layer4"]
SIX = ["conv1", "maxpool", *STAGES]
PONO, STYLE = {"norm": "pono"}, {"norm": "in", "alpha": 0.1, "p": 0.5}
FIGURES = {  # name: sites, strategy, settings
    "moex/imagenet-resnet50": (["maxpool"], "moex", PONO | {"lam": 0.9, "p": 1.0}),
    "moex/imagenet-densenet265": (["features.pool0"], "moex", PONO | {"lam": 0.9, "p": 1.0}),
    "moex/cifar-pyramidnet200": (["bn1"], "moex", PONO | {"lam": 0.5, "p": 0.25}),
    "moex/modelnet-pointnet++": (["sa1.features"], "moex", {"norm": "in", "lam": 0.9, "p": 0.5, "layout": "bnc"}),
    "mixstyle/pacs-resnet18": (STAGES[:3], "mixstyle", STYLE | {"partner": "crossdomain"}),
    "mixstyle/officehome-resnet18": (STAGES[:2], "mixstyle", STYLE | {"partner": "crossdomain"}),
    "mixstyle/reid-resnet50": (STAGES[:2], "mixstyle", STYLE),
    "mixstyle/reid-osnet": (["conv2", "conv3"], "mixstyle", STYLE),
    "mixstyle/coinrun-impala": (["blocks.0", "blocks.1"], "mixstyle", {"alpha": 0.3, "p": 1.0, "unbiased": False}),
    "mixstyle/dcase": (
        ["input"],
        "mixstyle",
        {"norm": "over:ct", "layout": "bcft", "alpha": 0.3, "p": 0.4, "partner": "permutation", "eps": 1e-6},
    ),
    "efdmix/pacs-resnet18": (STAGES[:3], "efdmix", {"alpha": 0.1, "p": 0.5, "partner": "crossdomain"}),
    "efdmix/pacs-resnet50": (STAGES[:2], "efdmix", {"alpha": 0.1, "p": 0.5, "partner": "crossdomain"}),
    "efdmix/pacs-single-resnet18": (STAGES[:3], "efdmix", {"alpha": 0.1, "p": 0.5, "partner": "derangement"}),
    "efdmix/pacs-single-resnet50": (STAGES[:3], "efdmix", {"alpha": 0.1, "p": 0.5, "partner": "derangement"}),
    "efdmix/reid-osnet": (["conv2", "conv3"], "efdmix", {"alpha": 0.1, "p": 0.5}),
    **{f"dsu/{on}": (SIX, "dsu", {"p": 0.5}) for on in ("pacs-resnet18", "officehome-resnet18", "reid-resnet50")},
    "dsu/gta5-resnet101": (["input"], "dsu", {"p": 0.5}),
    "csu/pacs-resnet18": (SIX, "csu", {"alpha": 0.3, "p": 0.5}),
    "csu/reid-osnet": (["conv2", "conv3", "conv4"], "csu", {"alpha": 0.3, "p": 0.5}),
    "padain/imagenet-resnet50": (49, "padain", {"p": 0.01}),
    "padain/cifar100-resnet18": (17, "padain", {"p": 0.01}),
    "padain/gta5-resnet101": (100, "padain", {"p": 0.01}),
    "crossnorm/cifar-wideresnet": (18, "crossnorm", {"crop": "neither", "p": 1.0}),
    "crossnorm/cifar-densenet": (36, "crossnorm", {"crop": "neither", "p": 1.0}),
    "crossnorm/imagenet-resnet50": (["input"], "crossnorm", {"crop": "both", "p": 0.5}),
    "crossnorm/gta5-resnet50": (16, "crossnorm", {"crop": "style", "p": 1.0}),
    "mixup/cifar": (["input"], "mixup", {"alpha": 1.0, "p": 1.0}),
    "mixup/imagenet": (["input"], "mixup", {"alpha": 0.2, "p": 1.0}),
    "manifold-mixup/cifar": (["input", *STAGES[:2]], "manifold-mixup", {"alpha": 2.0}),
    "manifold-mixup/svhn": (["input", *STAGES[:2]], "manifold-mixup", {"alpha": 2.0}),
    "manifold-mixup/tiny-imagenet": (["input", *STAGES[:2]], "manifold-mixup", {"alpha": 0.2}),
    "cutmix/cifar": (["input"], "cutmix", {"alpha": 1.0, "p": 0.5}),
    "cutmix/imagenet": (["input"], "cutmix", {"alpha": 1.0, "p": 1.0}),
    "fmix/cifar": (["input"], "fmix", {"alpha": 1.0, "p": 1.0}),
    "fmix/imagenet": (["input"], "fmix", {"alpha": 1.0, "p": 1.0}),
    "resizemix/cifar": (["input"], "resizemix", {"p": 1.0}),
    "resizemix/imagenet": (["input"], "resizemix", {"p": 1.0}),
}
BLOCKS = {"block_size": 7, "alpha": 2.0}
SOFT, HARD = {"mode": "soft", "gamma": 0.75, "p": 1.0, **BLOCKS}, {"mode": "hard", "gamma": 0.5, "p": 0.7, **BLOCKS}
PATCHUP = {
    "patchup-soft/cifar": SOFT,
    "patchup-hard/cifar": HARD,
    "patchup-soft/cifar-wrn28-10": SOFT | {"third_term": "own"},
    "patchup-hard/cifar-wrn28-10": HARD | {"third_term": "own"},
}
EVERY = fm.list_presets()
FOUND = [name for name in EVERY if name.rpartition("-")[2] in NETWORKS and "densenet265" not in name]


def seeded():
    return stream(torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", FIGURES)
def test_figures(name):
    sites, strategy, settings = FIGURES[name]
    leaves = fm.preset(name).leaves()
    found = [leaf.site for leaf in leaves]
    assert (len(found) if isinstance(sites, int) else found) == sites
    for leaf in leaves:
        assert leaf.strategy.name == strategy
        assert leaf.strategy.settings().items() >= settings.items()


@pytest.mark.parametrize("name", PATCHUP)
def test_figures_of_patchup(name):
    tree = fm.preset(name)
    (cutmix, *patchups), settings = tree.leaves(), PATCHUP[name]
    assert isinstance(tree, fm.OneOf)
    assert tree.weights == [1.0] * 3
    assert [leaf.site for leaf in tree.leaves()] == ["input", "conv1", "layer1"]
    assert isinstance(cutmix.strategy, fm.CutMix)
    assert (cutmix.strategy.alpha, cutmix.strategy.p) == (1.0, settings["p"])
    assert (cutmix.strategy.loss_weight, cutmix.strategy.own_term) == (2.0, 0.5 if "third_term" in settings else None)
    for leaf in patchups:
        assert leaf.strategy.settings().items() >= settings.items()


def test_no_figure_is_left_out():
    assert set(fm.list_presets()) == {*FIGURES, *PATCHUP, "cutmix+moex/imagenet"}


@pytest.mark.parametrize("name", EVERY)
def test_a_preset_is_fresh_and_says_where_it_is_from(name):
    one, other = fm.preset(name), fm.preset(name.upper())
    strategies = [leaf.strategy for tree in (one, other) for leaf in tree.leaves()]
    assert len({id(strategy) for strategy in strategies}) == len(strategies)
    assert repr(one) == repr(other)
    known = known_presets()[name]
    assert known.description.endswith(".")
    assert re.match(r"https://\S+|.+ (19|20)\d\d", known.source)


@pytest.mark.parametrize("name", EVERY)
def test_a_preset_draws(name):
    tree = fm.preset(name)
    places = {leaf.place: (8, 8) if leaf.strategy.layout == "bnc" else (8, 9, 9) for leaf in tree.leaves()}
    drawn = tree.draw(Request(6, seeded(), places))
    assert len(drawn) == len(tree.leaves())
    assert all(len(params.partner) == 6 for params in drawn)


@pytest.mark.parametrize("name", FOUND)
def test_the_places_are_there_and_a_step_trains(name):
    torch.manual_seed(0)
    model, images, labels = NETWORKS[name.rpartition("-")[2]](), torch.randn(4, 3, 32, 32), torch.arange(4)
    with fm.attach(model, fm.preset(name), example=images, seed=0) as mixer:
        for _ in range(3):
            mix = mixer.draw(images, target=labels)
            mix.loss(F.cross_entropy, model(images), labels).backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters())


def test_cutmix_and_moex_share_partners():
    tree = fm.preset("cutmix+moex/imagenet")
    assert [(leaf.site, leaf.strategy.name) for leaf in tree.leaves()] == [("input", "cutmix"), ("maxpool", "moex")]
    cutmix, moex = (leaf.strategy for leaf in tree.leaves())
    assert (cutmix.alpha, cutmix.p, moex.norm, moex.lam, moex.p) == (1.0, 1.0, "pono", 0.9, 0.25)
    shapes = {"input": (3, 8, 8), "maxpool": (8, 4, 4)}
    random = seeded()
    drawn = [tree.draw(Request(16, random, shapes)) for _ in range(40)]
    both = [(first, second) for first, second in drawn if second.acts()]
    assert both
    assert all(torch.equal(first.partner, second.partner) for first, second in both)


@pytest.mark.parametrize(("name", "count", "p"), [("wideresnet", 2, 0.5), ("densenet", 1, 0.25)])
def test_crossnorm_is_active_at_so_many_places(name, count, p):
    tree, random, seen = fm.preset(f"crossnorm/cifar-{name}"), seeded(), []
    for _ in range(100):
        drawn = tree.draw(Request(2, random))
        seen.append([k for k, params in enumerate(drawn) if bool(params.active.any())])
    assert {len(places) for places in seen} == {0, count}
    assert abs(sum(map(bool, seen)) - 100 * p) <= 5 * (100 * p * (1 - p)) ** 0.5
    assert len({place for places in seen for place in places}) > 12


def test_padain_stands_before_each_normalization_of_the_main_path():
    sites = [leaf.site for leaf in fm.preset("padain/imagenet-resnet50").leaves()]
    model = NETWORKS["resnet50"]()
    expected = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Conv2d) and "downsample" not in n]
    assert sites == expected
    sites = [leaf.site for leaf in fm.preset("padain/gta5-resnet101").leaves()]
    expected = [n for n, m in NETWORKS["resnet101"]().named_modules() if isinstance(m, torch.nn.Conv2d)]
    assert sites == ["input", *(n for n in expected if n != "conv1" and "downsample" not in n)]


def test_figures_that_are_not_quite_published_say_so():
    said = known_presets()
    assert "0.1" in said["csu/reid-osnet"].source
    assert "the six places" in said["dsu/gta5-resnet101"].description
    assert "pono" in said["moex/modelnet-pointnet++"].description
    assert "Dassl" in said["mixstyle/pacs-resnet18"].source
    assert "run_moex_densenet.sh" in said["moex/imagenet-densenet265"].source


def test_sites_are_renamed_alone_and_with_what_lies_below():
    tree = fm.preset("cutmix+moex/imagenet", sites={"maxpool": "stem.pool"})
    assert [leaf.site for leaf in tree.leaves()] == ["input", "stem.pool"]
    assert tree.share_partner
    renamed = {"layer1": "body.a", "layer1.1": "body.odd", "conv1": "stem"}
    sites = [leaf.site for leaf in fm.preset("padain/cifar100-resnet18", sites=renamed).leaves()]
    assert sites[:6] == ["stem", "body.a.0.conv1", "body.a.0.conv2", "body.odd.conv1", "body.odd.conv2", "layer2.0.conv1"]
    two = fm.preset("crossnorm/cifar-wideresnet", sites={"block1": "b"})
    assert (two.count, two.p, two.leaves()[0].site) == (2, 0.5, "b.layer.0")
    one = fm.preset("manifold-mixup/cifar", sites={"layer2": "z"})
    assert (type(one), [leaf.site for leaf in one.leaves()]) == (fm.OneOf, ["input", "layer1", "z"])
    assert [leaf.site for leaf in fm.preset("mixup/cifar", sites={}).leaves()] == ["input"]


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (lambda: fm.preset("moex/imagenet-resnet5"), r"preset: name: .*Did you mean 'moex/imagenet-resnet50'"),
        (lambda: fm.preset(None), "preset: name: expected the name of a preset, got None"),
        (
            lambda: fm.preset("mixup/cifar", sites={"inputs": "x"}),
            r"preset: sites: expected sites of 'mixup/cifar', got 'inputs'\. Did you mean 'input'",
        ),
        (lambda: fm.preset("padain/imagenet-resnet50", sites={"layer": "x"}), "got 'layer'"),
        (lambda: fm.preset("mixup/cifar", sites=["input"]), r"preset: sites: expected \{site here: its name in the model\}"),
        (lambda: fm.preset("mixup/cifar", sites={"input": ""}), "preset: sites"),
        (lambda: fm.preset("mixup/cifar", sites={"input": None}), "preset: sites"),
    ],
)
def test_refusals(attempt, message):
    with pytest.raises(fm.FeatmixError, match=message):
        attempt()


@pytest.fixture
def own_presets(monkeypatch):
    module = sys.modules["featmix.presets.registry"]
    monkeypatch.setattr(module, "_known", known_presets())


@pytest.mark.usefixtures("own_presets")
def test_a_function_with_a_docstring_is_all_there_is_to_a_preset():
    @recipe("mine/a", source="2026")
    @recipe("mine/b", source="2026")
    def build():
        """What I do."""
        return {"input": fm.Mixup()}

    assert isinstance(fm.preset("mine/a"), fm.Compose)
    assert known_presets()["mine/b"].description == "What I do."
    with pytest.raises(fm.FeatmixError, match="recipe: name: expected a name that is free, got 'mine/a'"):
        recipe("mine/a", source="2026")(build)
    with pytest.raises(fm.FeatmixError, match="recipe: mine/c: expected a function with a docstring"):
        recipe("mine/c", source="2026")(lambda: None)


@pytest.mark.parametrize(
    ("name", "source"), [("mine", "x"), ("/x", "x"), ("mine/", "x"), ("Mine/x", "x"), ("a/b", ""), (1, "x")]
)
def test_bad_names_are_refused(name, source):
    with pytest.raises(fm.FeatmixError, match="recipe: name: expected a lower-case name"):
        recipe(name, source=source)
