"""What pytest prints of the first Python block of the page on testing, which is a file of tests."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent.parent
PAGE = DOCS / "testing.md"
LAWS = "identity,partner_direction,restores"
_OPTIONS = ["-p", "pytest_featmix", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0", "--color=no"]


def pages() -> dict[str, str]:
    return {"parts/pytest-prints.md": f"```text\n{printed(tests())}\n```\n"}


def tests() -> str:
    """The file of tests that the page begins with."""
    found = re.search(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if found is None or "@featmix_laws" not in found[1]:
        raise ValueError(f"{PAGE.name} does not begin with tests")
    return found[1]


def printed(text: str) -> str:
    """What pytest says of this file, without the time that it took."""
    command = [sys.executable, "-m", "pytest", *_OPTIONS, "--no-header", "-v", "--featmix-laws", LAWS, "test_mine.py"]
    path = os.pathsep.join(filter(None, [str(DOCS.parent), os.environ.get("PYTHONPATH")]))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "test_mine.py").write_text(text, encoding="utf-8")
        given = {**os.environ, "PYTHONPATH": path, "COLUMNS": "118"}
        done = subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False)
    if done.returncode != 1:
        raise ValueError(f"expected a test that fails, got:\n{done.stdout}{done.stderr}")
    return re.sub(r" in [0-9.]+s( \([0-9:]+\))?", "", done.stdout).strip()
