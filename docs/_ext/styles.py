"""The table of correct strategies and normalizers, written in other styles, that no law refuses: the tests hold it."""

from readme_table import markdown_table

from tests.correct import rights


def pages() -> dict[str, str]:
    rows = [[f"`{one.name}`", one.style, one.kind] for one in sorted(rights, key=lambda one: one.kind != "strategy")]
    text = f"There are {len(rows)} of them.\n\n" + markdown_table(["subject", "its style", "a"], rows)
    return {"parts/styles.md": text}
