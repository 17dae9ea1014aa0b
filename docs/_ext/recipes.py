"""The recipes page: a table of the programs in ``examples/recipes/`` with their lengths, and each beside its native version."""

import ast
import runpy
from pathlib import Path

from readme_table import markdown_table

FOLDER = Path(__file__).parents[2] / "examples" / "recipes"


def pages() -> dict[str, str]:
    length = runpy.run_path(str(FOLDER / "length.py"))["length"]
    native = FOLDER / "native"
    names = sorted(path.stem for path in native.glob("*.py"))
    rows = [[f"[`{name}`](#{_anchor(name)})", _said(name), str(length(name)), str(length(name, native))] for name in names]
    table = markdown_table(["recipe", "what it does", "lines", "without featmix"], rows)
    return {"parts/recipes.md": "\n".join([table, *map(_section, names)])}


def _said(name: str) -> str:
    return ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))).replace("``", "`")


def _section(name: str) -> str:
    return f"""
({_anchor(name)})=
## {name}

{_said(name)}

::::{{tab-set}}
:::{{tab-item}} featmix
```{{literalinclude}} ../examples/recipes/{name}.py
:language: python
:lines: 3-
```
:::
:::{{tab-item}} without featmix
```{{literalinclude}} ../examples/recipes/native/{name}.py
:language: python
```
:::
::::
"""


def _anchor(name: str) -> str:
    return f"recipe-{name.replace('_', '-')}"
