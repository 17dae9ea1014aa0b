"""The pictures of a step."""

from __future__ import annotations

from typing import Any

from featmix.labels.mixture import Mixture
from featmix.pictures import Row, captions, draw_rows
from featmix.show.maps import MomentMaps
from featmix.show.step import Site, Step

_RANDOM = "features of an untrained network: its weights are random"


def draw_samples(step: Step) -> Any:
    """Images before and after, with what their labels became under each.

    Raises:
        FeatmixError: If matplotlib is not installed.
    """
    own = step.names[: len(step.originals)]
    rows = [Row("before", step.originals, below=own)]
    if step.has_parts:
        rows.append(Row("after sample\nand batch", list(step.prepared), below=own))
    rows.append(Row("after mixing\nat the input", list(step.mixed), below=_labels(step, step.at_input)))
    return draw_rows(rows, subject="show", extra="compare", title=_title(step, "the input"))


def draw_site(step: Step, site: Site) -> Any:
    """Moment maps before and after, and the partner's, in the same colours, with what the labels became under each.

    Raises:
        FeatmixError: If matplotlib is not installed.
    """
    before = captions(site.labels_before, _names(step, site.labels_before))
    after = _labels(step, site.labels_after)
    rows, over = list[Row](), site.before.over
    for scale, part in ((f"mean {over}", "mean"), (f"deviation {over}", "std")):
        rows.append(Row(f"{part} before", _maps(site.before, part), below=before, scale=scale))
        if site.partner is not None:
            theirs = [before[row] for row in site.partner.tolist()]
            rows.append(Row(f"{part} of partner", _maps(site.before.take(site.partner), part), below=theirs, scale=scale))
        rows.append(Row(f"{part} after", _maps(site.after, part), below=after, scale=scale))
    where = site.place if site.acts else f"{site.place}, in which nothing acts: without any mixing, and with it"
    title = _title(step, where) + (f"\n{_RANDOM}" if step.random_weights else "")
    return draw_rows(rows, subject="show", extra="compare", title=title, least=3)


def _title(step: Step, where: str) -> str:
    return f"{step.does}\n{where}" + ("; nothing was mixed in this step" if step.idle else "")


def _labels(step: Step, here: Mixture) -> list[str]:
    """Return the labels at a place, and those in the loss where they differ."""
    now, whole = captions(here, _names(step, here)), captions(step.mixture, step.names)
    return [one if one == other else f"{one}\nin the loss:\n{other}" for one, other in zip(now, whole, strict=True)]


def _names(step: Step, mixture: Mixture) -> tuple[str, ...]:
    """The names of the labels that a mixture knows: those remembered come later than those of the batch."""
    return step.names[: len(mixture) + (0 if mixture.beyond is None else len(mixture.beyond))]


def _maps(maps: MomentMaps, part: str) -> list[Any]:
    return list(getattr(maps, part))
