"""Figures of an experiment with probes: accuracies with intervals, and moment maps of samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from featmix.compare.sources import Images
from featmix.layouts import layout
from featmix.normalizers.kinds import normalizer
from featmix.pictures import Row, as_png, draw_rows
from featmix.probe.findings import Finding
from featmix.probe.parts import features_at
from featmix.show.maps import moment_maps
from featmix.support.extras import imported
from featmix.support.files import write

_STYLES = {  # Okabe and Ito's colours
    "moments": ("moments alone", "#0072B2", "o"),
    "normalized": ("normalized", "#E69F00", "s"),
    "whole": ("all", "#000000", "|"),
}
_SHOWN = 8


def draw_findings(path: Path, findings: Sequence[Finding], title: str) -> None:
    """Draw accuracies with intervals: a panel for each network and layer, a line for each normalizer.

    Args:
        path: Path of the file.
        findings: The results of the probes.
        title: The title, such as the data set.
    """
    figures = imported("matplotlib.figure", subject="probe", install="featmix[compare]")
    networks, sites = (list(dict.fromkeys(getattr(one, name) for one in findings)) for name in ("network", "site"))
    lines = len(dict.fromkeys(one.norm for one in findings))
    size = (2.0 + 2.8 * len(sites), 1.2 + len(networks) * (0.8 + 0.35 * lines))
    figure = figures.Figure(figsize=size, layout="constrained", dpi=130)
    panels = figure.subplots(len(networks), len(sites), squeeze=False, sharex=True)
    for row, network in zip(panels, networks, strict=True):
        for panel, site in zip(row, sites, strict=True):
            here = [one for one in findings if (one.network, one.site) == (network, site)]
            _draw_panel(panel, here)
            panel.set_title(f"{site}, {network}", fontsize=10)
            if panel is not row[0]:
                panel.set_yticklabels([])
    for panel in panels[-1]:
        panel.set_xlabel("accuracy of a linear probe in %")
    figure.suptitle(f"featmix probe on {title}: dotted is chance", fontsize=11)
    handles, labels = panels[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    write(path, as_png(figure))


def _draw_panel(panel: Any, findings: Sequence[Finding]) -> None:
    for part, (label, color, marker) in _STYLES.items():
        for number, one in enumerate(findings):
            found = getattr(one, part)
            half = 0.0 if found.high is None else 100 * (found.high - found.mean)
            name = label if number == 0 else None
            panel.errorbar(100 * found.mean, -number, xerr=half, color=color, marker=marker, label=name, capsize=2, ms=6)
    panel.axvline(100 * findings[0].chance, color="#888888", linestyle=":")
    panel.set(yticks=[-number for number in range(len(findings))], xlim=(0, 102))
    panel.set_yticklabels([one.norm for one in findings])
    panel.grid(axis="x", alpha=0.3)


def draw_maps(path: Path, classes: Sequence[str], *, network: nn.Module, images: Images, site: str) -> None:
    """Draw what PONO does in a layer: images, their mean and deviation maps, and a normalized channel.

    Args:
        path: Path of the file.
        classes: Names of the classes.
        network: A trained network.
        images: Images, of which one per class is shown.
        site: The layer.
    """
    labels = images.labels.tolist()
    rows = [labels.index(number) for number in sorted(set(labels))[:_SHOWN]]
    pixels = images.pixels[rows]
    x = features_at(network, site, pixels, next(network.parameters()).device)
    maps = moment_maps(x, layout("bchw"))
    left, _ = normalizer("pono").normalize(x)
    channel = int(left.var((0, 2, 3)).argmax())
    names = [classes[number] for number in map(labels.__getitem__, rows)]
    figure = draw_rows(
        [
            Row("image", list(pixels.float() / 255), below=names),
            Row("mean", list(maps.mean), scale="mean"),
            Row("deviation", list(maps.std), scale="deviation"),
            Row(f"normalized,\nchannel {channel}", list(left[:, channel]), scale="normalized"),
        ],
        subject="probe",
        extra="compare",
        title=f"What PONO takes from {site} of a trained network, and what it leaves",
    )
    write(path, as_png(figure))
