"""The pictures of the page on ``featmix show``, written by what the page is about."""

import tempfile
from pathlib import Path

import featmix as fm
from featmix.show import show


def pages() -> dict[str, bytes]:
    tree = {"input": fm.CutMix(), "stem": fm.MoEx(lam=0.9)}
    with tempfile.TemporaryDirectory() as folder:
        written = show(tree, out=folder, count=4)
        return {f"show/{Path(path).name}": path.read_bytes() for path in written if path.suffix == ".png"}
