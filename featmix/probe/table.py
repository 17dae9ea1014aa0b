"""Results of probes as files and tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from pathlib import Path

from featmix.compare.output import machine, versions
from featmix.compare.report import percent
from featmix.errors import FeatmixError
from featmix.probe.findings import Finding, Probed

PROBES = "probes.csv"


_COLUMNS = [field.name for field in fields(Probed)]


def to_csv(rows: Sequence[Probed]) -> str:
    """Return the rows as CSV, with a header."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    table.writerows([*astuple(row)[:-2], f"{row.accuracy:.6f}", f"{row.chance:.6f}"] for row in rows)
    return text.getvalue()


def read_probes(path: Path) -> list[Probed]:
    """Return the rows of a file; empty if there is no file.

    Raises:
        FeatmixError: If a line is not a valid row.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.reader(file))
    if not lines or lines[0] != _COLUMNS:
        raise FeatmixError("probe", "out", expected=f"a table of probes in {path}", got="another", fix="Use --fresh.")
    found = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            seed, network, site, norm, part, accuracy, chance = line
            found.append(Probed(int(seed), network, site, norm, part, float(accuracy), float(chance)))
        except ValueError as error:
            got = f"line {number}: {error}"
            raise FeatmixError("probe", "out", expected=f"probes in {path}", got=got, fix="Delete that line.") from error
    return found


def finding_table(findings: Sequence[Finding]) -> tuple[list[str], list[list[str]]]:
    """Return head and body of the table."""
    head = ["network", "layer", "normalizer", "moments alone", "normalized", "all", "chance", "seeds"]
    body = [
        [
            one.network, one.site, one.norm, percent(one.moments), percent(one.normalized), percent(one.whole),
            f"{100 * one.chance:.1f}", str(one.moments.seeds),
        ]
        for one in findings
    ]  # fmt: skip
    return head, body


def to_markdown(findings: Sequence[Finding], settings: Mapping[str, object], seconds: float) -> str:
    """Return the report: the table, how to read it, and the conditions of the experiment."""
    head, body = finding_table(findings)
    rows = [head, ["---"] * len(head), *body]
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return f"""# Do moments carry the class?

Accuracy in % of logistic regression on what a layer returns, on images that neither it nor the network was fitted to. Each
interval is a 95 % Student-t interval over seeds: splits, networks and probes.

{table}

*moments alone*: means and standard deviations that the normalizer takes. *normalized*: features without them. *all*: features
as they are. *chance*: the share of the commonest class. Batch norm's moments are the same for every sample, so that they
cannot tell classes apart.

- settings: {json.dumps(settings)}
- last call: {seconds:.0f} s
- machine: {", ".join(map(str, machine().values()))}
- versions: {", ".join(f"{name} {number}" for name, number in versions().items())}
"""
