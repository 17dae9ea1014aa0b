"""What the code of a page prints, so that no page shows an answer that it would not give today.

A Python block that is directly followed by an ``{include}`` of ``_generated/parts/output-NAME.md`` has its output there. The
blocks of such a page run in order, as they do in the tests.
"""

import contextlib
import io
import os
import re
import sys
import tempfile
import types
import warnings
from pathlib import Path

import hypothesis
import torch

DOCS = Path(__file__).parent.parent
_BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```$(?:\n\n```\{include\} _generated/(?P<part>parts/output-[\w-]+\.md)\n)?",
    re.MULTILINE | re.DOTALL,
)


def sources() -> list[Path]:
    """The pages that show what their code prints."""
    pages = sorted(DOCS.glob("*.md"))
    return [page for page in pages if any(block["part"] for block in _BLOCK.finditer(page.read_text(encoding="utf-8")))]


def pages() -> dict[str, str]:
    hypothesis.settings.register_profile("docs", derandomize=True, print_blob=False)
    hypothesis.settings.load_profile("docs")
    made, threads = {}, torch.get_num_threads()
    torch.set_num_threads(1)  # tensors this small gain nothing from more
    for page in sources():
        made.update(_outputs(page.stem, page.read_text(encoding="utf-8")))
    torch.set_num_threads(threads)
    return made


def _outputs(name: str, text: str) -> dict[str, str]:
    module = types.ModuleType(f"page_{name}")
    sys.modules[module.__name__] = module
    made, before = {}, Path.cwd()
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.chdir(folder)
        try:
            for block in _BLOCK.finditer(text):
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    exec(compile(block["code"], f"{name}.md", "exec"), vars(module))
                if block["part"]:
                    made[block["part"]] = f"```text\n{printed.getvalue()}```\n"
        finally:
            os.chdir(before)
            del sys.modules[module.__name__]
    return made
