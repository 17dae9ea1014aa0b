"""The examples page: a table of the programs in ``examples/``, and each of them with what it says about itself."""

import ast
from pathlib import Path

from readme_table import markdown_table

FOLDER = Path(__file__).parents[2] / "examples"


def pages() -> dict[str, str]:
    trees = {path.name: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.py"))}
    rows = [
        [f"[`{name}`](#{_anchor(name)})", _marked(ast.get_docstring(tree).partition("\n")[0])] for name, tree in trees.items()
    ]
    parts = [markdown_table(["program", "what it shows"], rows), *(_section(name, tree) for name, tree in trees.items())]
    return {"parts/examples.md": "\n".join(parts)}


def _section(name: str, tree: ast.Module) -> str:
    """What a program says about itself, and its code after that."""
    return f"""
({_anchor(name)})=
## {name}

{_marked(ast.get_docstring(tree).rpartition("Run: ")[0].strip())}

```{{literalinclude}} ../examples/{name}
:language: python
:lines: {tree.body[1].lineno}-
```
"""


def _anchor(name: str) -> str:
    return f"example-{name.removesuffix('.py').replace('_', '-')}"


def _marked(text: str) -> str:
    return text.replace("``", "`")
