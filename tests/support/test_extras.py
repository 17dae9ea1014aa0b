import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import featmix as fm
from featmix import FeatmixError
from featmix.support.extras import imported, pip_install

ROOT = Path(__file__).resolve().parent.parent.parent
_FROM_AN_INDEX = re.compile(r"pip install [^.\n]*\bfeatmix(\[|`|\"| |$)")

LAZY = """
import sys
import featmix as fm

assert "featmix.interop" not in sys.modules
kornia = fm.interop.kornia
torchvision = fm.interop.torchvision
for package in ("kornia", "torchvision", "albumentations", "timm"):
    assert package not in sys.modules, package
sys.modules["kornia"] = None  # as if it were not installed
try:
    kornia.from_kornia(object())
except fm.FeatmixError as error:
    assert "pip install" in str(error) and "kornia>=0.9" in str(error), error
else:
    raise AssertionError("not refused")
sys.modules["albumentations"] = None
try:
    fm.interop.albumentations
except fm.FeatmixError as error:
    assert 'pip install "albumentations' in str(error), error
else:
    raise AssertionError("not refused")
sys.modules["hypothesis"] = None
try:
    fm.testing
except ModuleNotFoundError as error:
    assert 'featmix.testing needs hypothesis: pip install "hypothesis>=' in str(error), error
else:
    raise AssertionError("not refused")
"""


def test_other_packages_are_imported_when_they_are_used():
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_package_that_breaks_at_import(tmp_path, monkeypatch):
    (tmp_path / "featmix_broken_package.py").write_text("raise RuntimeError('operator x::y does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FeatmixError, match=r"operator x::y does not exist.*build that belongs to this torch"):
        imported("featmix_broken_package", subject="test", install="it")


def test_the_folder_names_its_modules():
    assert {"albumentations", "kornia", "torchvision"} <= set(dir(fm.interop))
    assert fm.interop.kornia.from_kornia is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fm.interop.nothing  # noqa: B018


def test_extras_are_spelt_out(monkeypatch):
    """No index has featmix: its packages are named, as the installed version asks for them."""
    said = pip_install("featmix[testing]")
    assert said.startswith('pip install "hypothesis>=')
    assert said.endswith(", which is featmix[testing]")
    with pytest.raises(FeatmixError, match=r'expected nowhere to be installed.*pip install "hypothesis.*featmix\[testing\]'):
        imported("nowhere", subject="test", install="featmix[testing]")
    for each in metadata.metadata("featmix").get_all("Provides-Extra"):
        assert "featmix[" not in pip_install(f"featmix[{each}]").partition(", which is")[0]

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", absent)
    assert pip_install("featmix[testing]") == 'pip install ".[testing]" in a clone, which is featmix[testing]'
    assert pip_install("kornia>=0.9") == 'pip install "kornia>=0.9"'


def test_nothing_tells_to_install_featmix_from_an_index():
    """Outside the one function that spells extras out, and the names of extras that it is given."""
    found = []
    for folder in ("featmix", "docs", "examples"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".md") and "_build" not in path.parts and "_generated" not in path.parts:
                found += [path.name for line in path.read_text(encoding="utf-8").splitlines() if _FROM_AN_INDEX.search(line)]
    assert found == []
