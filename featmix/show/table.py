"""The label weights as numbers."""

from __future__ import annotations

import csv
import io

from featmix.labels.mixture import Mixture
from featmix.show.step import Step

LOSS = "loss"


def label_table(step: Step) -> str:
    """The text of ``labels.csv``: for each place and row, the share that every label of the batch has in it.

    Places are ``input``, hidden layers that were looked at, and ``loss`` for the whole step. Columns beyond the batch are
    labels remembered from earlier batches.

    Args:
        step: The step.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["behind", "row", "label", *(f"share of {k} ({name})" for k, name in enumerate(step.names))])
    stages: list[tuple[str, Mixture]] = [("input", step.at_input), *((site.place, site.labels_after) for site in step.sites)]
    for place, mixture in [*stages, (LOSS, step.mixture)]:
        for row, shares in enumerate(mixture.matrix().tolist()):
            padded = shares + [0.0] * (len(step.names) - len(shares))
            writer.writerow([place, row, step.names[row], *(f"{share:.6g}" for share in padded)])
    return buffer.getvalue()
