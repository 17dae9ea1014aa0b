import importlib
import pkgutil
import subprocess
import sys
import types

import pytest

import featmix as fm

LIGHT = """
import sys
import numpy, torch

before = set(sys.modules)
import featmix

new = {name.partition(".")[0] for name in set(sys.modules) - before}
extra = new - {"featmix", "torch", "numpy"} - sys.stdlib_module_names
assert not extra, f"imported besides: {sorted(extra)}"
assert "torch._dynamo" not in sys.modules, "importing the compiler costs seconds"
late = ("featmix.cli", "featmix.compare", "featmix.configuration", "featmix.interop", "featmix.pictures", "featmix.show")
late += ("featmix.pipeline.preview", "featmix.testing", "featmix.trainers")
heavy = sorted(name for name in sys.modules if name.startswith(late))
assert not heavy, f"nothing imports these: {heavy}"
"""

PUBLIC = """
import featmix

missing = [name for name in dir(featmix) if not hasattr(featmix, name)]
assert not missing, missing
assert not hasattr(featmix, "nothing_like_this")

from featmix import *
assert {*featmix.__all__} <= globals().keys()
"""

# A module of a package, imported by its own name after everything else: a name of the package must not stand before it.
SUBMODULE = "import featmix; import featmix.mixer.attach as module; assert callable(module.attach), module"


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("code", [LIGHT, PUBLIC, SUBMODULE], ids=["torch and numpy alone", "public names", "submodule"])
def test_in_a_fresh_process(code):
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_dir_is_what_is_public_and_the_strategies():
    strategies = {fm.strategy_class(name).__name__ for name in fm.list_strategies()}
    assert {"MoEx", "MixStyle", "Mixup", "CutMix"} <= strategies
    assert dir(fm) == sorted({*fm.__all__, *strategies})


def test_all_is_sorted_and_holds_no_strategy():
    strategies = {fm.strategy_class(name).__name__ for name in fm.list_strategies()}
    assert fm.__all__ == sorted(fm.__all__)
    assert not strategies & {*fm.__all__}


def test_packages_imported_at_first_use_are_attributes():
    for name in fm._LAZY:
        assert getattr(fm, name) is importlib.import_module(f"featmix.{name}")


def test_misspelt_name_says_which_is_near():
    done = run("import featmix; featmix.Mixupp")
    assert "module 'featmix' has no attribute 'Mixupp'. Did you mean: 'Mixup'?" in done.stderr


def packages():
    yield "featmix"
    yield from (module.name for module in pkgutil.walk_packages(fm.__path__, "featmix.") if module.ispkg)


@pytest.mark.parametrize("name", list(packages()))
def test_no_name_of_a_package_hides_a_module_in_it(name):
    package = importlib.import_module(name)
    modules = [module.name for module in pkgutil.iter_modules(package.__path__)]
    hidden = [each for each in modules if not isinstance(vars(package).get(each, package), types.ModuleType)]
    assert hidden == []
