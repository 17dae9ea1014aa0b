import subprocess
import sys

import pytest

import featmix as fm
from featmix import FeatmixError
from featmix.support.extras import imported

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
