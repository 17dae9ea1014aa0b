import subprocess
import sys

LIGHT = """
import sys
import numpy, torch

before = set(sys.modules)
import featmix

new = {name.partition(".")[0] for name in set(sys.modules) - before}
extra = new - {"featmix", "torch", "numpy"} - sys.stdlib_module_names
assert not extra, f"imported besides: {sorted(extra)}"
assert "torch._dynamo" not in sys.modules, "importing the compiler costs seconds"
heavy = sorted(name for name in sys.modules if name.startswith(("featmix.compare", "featmix.cli", "featmix.testing")))
assert not heavy, f"nothing imports these: {heavy}"
"""

PUBLIC = """
import featmix

missing = [name for name in featmix.__all__ if not hasattr(featmix, name)]
assert not missing, missing
assert {"MoEx", "MixStyle", "Mixup", "CutMix"} <= set(dir(featmix))
"""


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_import_needs_torch_and_numpy_alone():
    done = run(LIGHT)
    assert done.returncode == 0, done.stderr


def test_public_names_exist():
    done = run(PUBLIC)
    assert done.returncode == 0, done.stderr
