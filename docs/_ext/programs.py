"""The examples page: a table of the programs in ``examples/``, and each of them with what it says about itself."""

import ast
from pathlib import Path

from readme_table import markdown_table

FOLDER = Path(__file__).parents[2] / "examples"


def pages() -> dict[str, str]:
    docs = {path.name: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for path in sorted(FOLDER.glob("*.py"))}
    rows = [[f"[`{name}`](#{_anchor(name)})", _marked(doc.partition("\n")[0])] for name, doc in docs.items()]
    parts = [markdown_table(["program", "what it shows"], rows), *(_section(name, doc) for name, doc in docs.items())]
    return {"parts/examples.md": "\n".join(parts)}


def _section(name: str, doc: str) -> str:
    return f"""
({_anchor(name)})=
## {name}

{_marked(doc.rpartition("Run: ")[0].strip())}

```{{literalinclude}} ../examples/{name}
:language: python
:start-after: '"""'
:start-at: import
```
"""


def _anchor(name: str) -> str:
    return f"example-{name.removesuffix('.py').replace('_', '-')}"


def _marked(text: str) -> str:
    return text.replace("``", "`")
