"""The page Evidence: what the study found, from the results that are committed."""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).parent.parent
sys.path.append(str(DOCS.parent))

from featmix.compare.contenders import BASELINE  # noqa: E402 - the path comes first
from featmix.compare.figure import draw_levels  # noqa: E402
from featmix.compare.finished import read_finished  # noqa: E402
from featmix.compare.report import STEP_TIME, domain_table, markdown_table, result_table  # noqa: E402
from featmix.compare.results import Row  # noqa: E402
from featmix.compare.statistics import Summary, summarize  # noqa: E402
from featmix.compare.sweep_report import draw_sweep  # noqa: E402
from featmix.compare.sweeps import expanded  # noqa: E402
from featmix.pictures import as_png  # noqa: E402
from featmix.probe.drawing import draw_findings  # noqa: E402
from featmix.probe.experiment import findings_of  # noqa: E402
from featmix.probe.table import finding_table, read_probes  # noqa: E402
from study.findings import against_baseline, best, in_one, of_moments, of_probe  # noqa: E402
from study.parts import PARTS, Part  # noqa: E402

FOLDER = DOCS / "evidence"


def pages() -> dict[str, str | bytes]:
    made: dict[str, str | bytes] = {}
    sections = []
    for part in PARTS:
        folder = FOLDER / part.name
        if (folder / "runs.csv").is_file():
            sections.append(_compared(part, folder, made))
        elif (folder / "probes.csv").is_file():
            sections.append(_probed(part, folder, made))
    made["parts/evidence.md"] = "\n\n".join(sections) or "No results are here yet: `make study` makes them."
    return made


def headlines(folder: Path = FOLDER) -> str:
    """One sentence of each part that has results, as a list in Markdown."""
    said = []
    for part in PARTS:
        if (folder / part.name / "runs.csv").is_file():
            rows = _rows(folder / part.name)
            said.append(f"- {part.question} {in_one(rows, _baseline(part, rows))}")
        elif (folder / part.name / "probes.csv").is_file():
            said.append(f"- {part.question} {of_moments(findings_of(read_probes(folder / part.name / 'probes.csv')))}")
    return "\n".join(said)


def _rows(folder: Path) -> Sequence[Row]:
    return read_finished(folder, subject="docs", argument="evidence").rows


def _baseline(part: Part, rows: Sequence[Row]) -> str:
    return next((row.label for row in rows if row.label == (part.against or BASELINE)), BASELINE)


def _metrics(rows: Sequence[Row]) -> list[str]:
    return ["held_out", "in_domain"] if any(row.held_out for row in rows) else ["in_domain"]


def _pictures(part: Part, summaries: Sequence[Summary], baseline: str) -> list[tuple[str, bytes]]:
    """Pictures with what they show: of each sweep along its axis, else of all strategies."""
    from matplotlib.figure import Figure

    _, sweeps = expanded(part.strategies, part.site)
    if sweeps:
        return [(f"Accuracy along {' and '.join(sweep.axes)}", as_png(draw_sweep(sweep, summaries))) for sweep in sweeps]
    figure = Figure(figsize=(9, 1.4 + 0.36 * len(summaries)), layout="constrained")
    figure.legend(*draw_levels(figure, summaries, baseline), loc="outside lower left", ncols=2, frameon=False)
    return [(f"Accuracy, and differences to {baseline}", as_png(figure))]


def _compared(part: Part, folder: Path, made: dict[str, str | bytes]) -> str:
    rows = _rows(folder)
    baseline = _baseline(part, rows)
    summaries = summarize(rows, baseline)
    pictures = _pictures(part, summaries, baseline)
    for number, (_, picture) in enumerate(pictures, 1):
        made[f"images/evidence-{part.name}-{number}.png"] = picture
    said = [best(rows, metric) for metric in _metrics(rows)] + against_baseline(rows, baseline)
    lines = [
        f"## {part.question}",
        "\n".join(f"- {sentence}" for sentence in said if sentence),
        *(f"![{text}](_generated/images/evidence-{part.name}-{k}.png)" for k, (text, _) in enumerate(pictures, 1)),
        _without(STEP_TIME, *result_table(summaries, baseline)),
    ]
    if summaries[0].by_domain:
        lines.append(markdown_table(*domain_table(summaries)))
    return "\n\n".join([*lines, _made(folder)])


def _without(column: str, head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table without one of its columns."""
    keep = [k for k, name in enumerate(head) if name != column]
    return markdown_table([head[k] for k in keep], [[line[k] for k in keep] for line in body])


def _probed(part: Part, folder: Path, made: dict[str, str | bytes]) -> str:
    found = findings_of(read_probes(folder / "probes.csv"))
    with tempfile.TemporaryDirectory() as temporary:
        picture = Path(temporary) / "probe.png"
        draw_findings(picture, found, "Linear probes on digits")
        made[f"images/evidence-{part.name}.png"] = picture.read_bytes()
    said = "\n".join(f"- {sentence}" for sentence in of_probe(found))
    shown = f"![Accuracy of linear probes by layer and normalizer](_generated/images/evidence-{part.name}.png)"
    return "\n\n".join([f"## {part.question}", said, shown, markdown_table(*finding_table(found)), _made(folder)])


def _made(folder: Path) -> str:
    made = json.loads((folder / "made.json").read_text())
    commits, machine = " and ".join(made["commits"]), made["machine"]
    where = f"{machine['cores']} cores of {machine['processor']}"
    return f"Made by `{made['command']}` at commit {commits}: {made['date']}, {made['seconds'] / 60:.0f} minutes on {where}."
