"""The table of laws, from the list that fills itself in ``featmix.testing``."""

import inspect

from readme_table import markdown_table

from featmix.testing import laws

SUBJECTS = {"strategy": "strategies", "normalizer": "normalizers", "attached": "strategies attached to a model"}


def pages() -> dict[str, str]:
    kinds = list(SUBJECTS)
    found = sorted(laws(), key=lambda law: kinds.index(law.kind) if law.kind in kinds else len(kinds))
    rows = [
        [f"`{law.name}`", SUBJECTS.get(law.kind, law.kind), "many drawn inputs" if law.drawn else "once", _statement(law.check)]
        for law in found
    ]
    return {"parts/laws.md": markdown_table(["law", "of", "tried on", "what it demands"], rows)}


def _statement(check: object) -> str:
    return (inspect.getdoc(check) or "").partition("\n\n")[0].replace("\n", " ").replace("``", "`")
