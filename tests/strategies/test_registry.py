import subprocess
import sys

import pytest
import torch

import featmix as fm
from featmix import FeatmixError
from featmix.strategies import registry

MINE = """
import featmix as fm

@fm.register({name!r})
class {cls}(fm.MoEx):
    tags = fm.Tags(mixes_labels=False, paper="none")
"""


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """Whatever a test registers or walks is forgotten afterwards."""
    fm.list_strategies()
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    monkeypatch.setattr(registry, "_walked", True)


@pytest.fixture
def walk_again(monkeypatch, tmp_path):
    """A folder that counts as part of ``featmix.strategies``, for a walk that has not yet been made."""
    package = sys.modules[registry.BUILT_IN]
    loaded = set(sys.modules)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    monkeypatch.setattr(registry, "_walked", False)
    yield tmp_path
    for name in set(sys.modules) - loaded:
        if name.startswith(f"{registry.BUILT_IN}."):
            del sys.modules[name]
            vars(package).pop(name.rpartition(".")[2], None)


@pytest.fixture
def other_package(monkeypatch, tmp_path):
    """Installs a package with one entry point of the group that featmix looks at."""

    def install(module, entry):
        (tmp_path / "plugin_of_others.py").write_text(module)
        info = tmp_path / "plugin_of_others-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin-of-others\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[featmix.strategies]\n{entry}\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr(registry, "_walked", False)

    yield install
    sys.modules.pop("plugin_of_others", None)


def test_available_is_sorted_and_has_the_four():
    names = fm.list_strategies()
    assert names == sorted(names)
    assert {"cutmix", "mixstyle", "mixup", "moex"} <= set(names)


def test_available_filters_by_tags():
    without = fm.list_strategies(mixes_labels=False)
    assert "mixstyle" in without
    assert not {"cutmix", "mixup", "moex"} & set(without)
    assert sorted(without + fm.list_strategies(mixes_labels=True)) == fm.list_strategies()
    assert "cutmix" in fm.list_strategies(mixes_labels=True, spatial=True)
    assert "mixup" not in fm.list_strategies(mixes_labels=True, spatial=True)


def test_unknown_tag_names_the_nearest():
    with pytest.raises(FeatmixError, match=r"list_strategies: mixes_label: .*Did you mean 'mixes_labels'\?"):
        fm.list_strategies(mixes_label=True)


@pytest.mark.parametrize("name", ["moex", "MoEx", "MOEX"])
def test_create_in_any_case(name):
    made = fm.create(name, norm="in", lam=0.7, p=0.5)
    assert type(made) is fm.MoEx is fm.strategy_class(name)
    assert (made.norm, made.lam, made.p) == ("in", 0.7, 0.5)


def test_misspelt_names_and_settings_name_the_nearest():
    with pytest.raises(FeatmixError, match=r"create: name: expected a strategy, got 'MxStyle'\. Did you mean .*'mixstyle'"):
        fm.create("MxStyle")
    with pytest.raises(FeatmixError, match=r"MoEx: lamda: expected a setting of this strategy.*Did you mean .*'lam'"):
        fm.create("moex", lamda=0.5)
    with pytest.raises(FeatmixError, match="expected a strategy, got None"):
        fm.create(None)
    with pytest.raises(AttributeError, match="no attribute 'MoEks'"):
        fm.MoEks  # noqa: B018 - looked up for its error


SETTINGS = [
    ("moex", {"norm": "gpono-d2", "lam": 0.3, "eps": 1e-3, "positive_only": True, "layout": "bhwc"}),
    ("mixstyle", {"norm": "gn4", "alpha": 0.4, "lam_per": "batch", "detach": False, "unbiased": False}),
    ("mixup", {"alpha": 0.2, "lam_per": "sample", "p": 0.25, "num_classes": 7}),
    ("cutmix", {"alpha": 2.0, "per": "sample", "partner": "permutation", "layout": "bct"}),
]


@pytest.mark.parametrize(("name", "settings"), [*SETTINGS, *((name, {}) for name in fm.list_strategies())])
def test_settings_round_trip(name, settings):
    made = fm.create(name, **settings)
    assert made.settings().items() >= settings.items()
    again = fm.create(name, **made.settings())
    assert again.settings() == made.settings()
    assert repr(again) == repr(made)


def test_settings_of_a_ready_made_normalizer_round_trip():
    made = fm.MoEx(fm.normalizer("gn2", layout="bnc", eps=1e-2, unbiased=False))
    assert fm.create("moex", **made.settings()).normalizer == made.normalizer


def test_a_user_strategy_works_through_create():
    @fm.register("shift-rows")
    class ShiftRows(fm.Strategy):
        tags = fm.Tags(mixes_labels=False, paper="none")

        def __init__(self, *, by=1.0, **common):
            super().__init__(**common)
            self.by = by

        def decide(self, shape, draw):
            return fm.Params.of(draw)

        def act(self, x, params):
            return x + self.by

    made = fm.create("Shift-Rows", by=2.0, p=0.5, per="sample")
    assert ShiftRows.name == "shift-rows"
    assert "shift-rows" in fm.list_strategies(mixes_labels=False)
    assert fm.ShiftRows is ShiftRows
    assert made.settings() == {
        "by": 2.0,
        "p": 0.5,
        "per": "sample",
        "partner": "derangement",
        "layout": None,
        "num_prefix_tokens": None,
        "num_classes": None,
    }
    params = made.make_params((50, 2), generator=torch.Generator().manual_seed(0))
    assert torch.equal(made.transform(torch.zeros(50, 2), params)[:, 0], 2.0 * params.active)


def test_a_second_of_the_same_name_is_refused():
    fm.register("mine")(type("First", (fm.MoEx,), {}))
    with pytest.raises(FeatmixError, match="expected a name that is free, got 'mine', which is First"):
        fm.register("mine")(type("Second", (fm.MoEx,), {}))


def test_a_built_in_name_is_refused_before_anything_was_walked():
    code = MINE.format(name="moex", cls="Mine")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "expected a name that is free, got 'moex', which is MoEx" in done.stderr


@pytest.mark.parametrize("name", ["Mine", "my strategy", "", "1st", None])
def test_bad_names_are_refused(name):
    with pytest.raises(FeatmixError, match="register: name: expected a lower-case identifier"):
        fm.register(name)


@pytest.mark.parametrize("thing", [torch.nn.Identity, fm.normalizer("in"), lambda x: x])
def test_only_strategies_are_registered(thing):
    with pytest.raises(FeatmixError, match=r"expected a subclass of featmix\.Strategy"):
        fm.register("mine")(thing)
    assert "mine" not in fm.list_strategies()


def test_a_new_file_is_found_and_private_ones_are_not(walk_again):
    (walk_again / "freshly_written.py").write_text(MINE.format(name="fresh", cls="Fresh"))
    (walk_again / "_helpers.py").write_text("raise RuntimeError('private')")
    assert "fresh" in fm.list_strategies()
    assert fm.create("fresh").name == "fresh"


@pytest.mark.parametrize("before", ["", MINE.format(name="half", cls="Half")], ids=["at once", "after registering"])
def test_a_broken_file_fails_by_name_each_time(walk_again, before):
    (walk_again / "broken_one.py").write_text(f"{before}\nraise RuntimeError('no such luck')")
    for _ in range(2):
        with pytest.raises(FeatmixError, match=r"featmix\.strategies\.broken_one: .*RuntimeError: no such luck"):
            fm.list_strategies()


@pytest.mark.parametrize("decorated", [True, False])
def test_an_entry_point_of_another_package_is_found(other_package, decorated):
    module = MINE.format(name="theirs", cls="Theirs")
    other_package(module if decorated else module.replace("@fm.register('theirs')", ""), "theirs = plugin_of_others:Theirs")
    assert "theirs" in fm.list_strategies()
    assert fm.create("theirs").tags.paper == "none"


def test_an_entry_point_that_is_a_module_registers_what_it_holds(other_package):
    other_package(MINE.format(name="theirs", cls="Theirs"), "anything = plugin_of_others")
    assert "theirs" in fm.list_strategies()


def test_a_broken_entry_point_fails_by_name(other_package):
    other_package("raise RuntimeError('no such luck')", "theirs = plugin_of_others:Theirs")
    message = r"entry point theirs = plugin_of_others:Theirs: .*RuntimeError: no such luck"
    with pytest.warns(UserWarning, match=message):
        assert "moex" in fm.list_strategies()
    with pytest.raises(FeatmixError, match=message):
        fm.create("theirs")


def test_an_entry_point_under_a_built_in_name_is_refused(other_package):
    other_package(MINE.format(name="moex", cls="Mine"), "moex = plugin_of_others:Mine")
    with pytest.raises(FeatmixError, match="'moex', which is MoEx"):
        fm.list_strategies()
