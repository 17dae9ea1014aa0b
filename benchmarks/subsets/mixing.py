"""Mixup and CutMix against other libraries.

A batch of 128 images of 3×224×224 in float32, 77 MB, with class indices of 1000 classes. A call draws, mixes images and mixes
labels, as each library does it; ``transform`` is featmix's mixing alone, the decision made before. ``clones`` is the time
divided by that of ``x.clone()``: lower is better.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from matplotlib.figure import Figure

import featmix as fm
from benchmarks import figures, peers
from benchmarks.formulas import duels, there_and_back
from benchmarks.results import Row
from benchmarks.timing import Call, Stopwatch

SHAPE, CLASSES = (128, 3, 224, 224), 1000
NEW, SAME = "new memory", "in place"
missing: list[str] = []


def rows(watch: Stopwatch) -> Iterator[Row]:
    """Each library's Mixup and CutMix."""
    shape = (8, 3, 16, 16) if watch.quick else SHAPE
    x, y = torch.rand(shape), torch.randint(CLASSES, shape[:1])
    for method in ("mixup", "cutmix"):
        calls = {"clone": x.clone, **_ours(method, x, y), **_theirs(method, x, y)}
        found = watch.race(calls)
        for who in calls:
            if who == "clone":
                continue
            name, _, where = who.partition(" | ")
            labels = {"method": method, "who": name, "memory": where}
            yield Row(labels, {"clones": found[who].median / found["clone"].median}, {who: found[who], "clone": found["clone"]})


def _ours(method: str, x: torch.Tensor, y: torch.Tensor) -> dict[str, Call]:
    new, same = (fm.create(method, num_classes=CLASSES, inplace=inplace) for inplace in (False, True))
    params, mine = new.make_params(x.shape, generator=torch.Generator().manual_seed(0)), x.clone()
    both = there_and_back(lambda z: new.transform(z, params), x, torch.rand(x.shape))
    return {
        f"featmix | {NEW}": lambda: new(x, y),
        f"featmix, transform | {NEW}": lambda: new.transform(x, params),
        f"featmix, transform and backward | {NEW}": both,
        f"featmix | {SAME}": lambda: same(mine, y),
    }


def _theirs(method: str, x: torch.Tensor, y: torch.Tensor) -> dict[str, Call]:
    duel = next(each for each in duels(x.shape, labels_too=True) if each.name == method)
    calls: dict[str, Call] = {f"formula | {NEW}": lambda: duel.formula(x)}
    offers = {f"{name} | {NEW}": (make, x) for name, make in peers.out_of_place().items()}
    offers[f"timm | {SAME}"] = (peers.timm_in_place, x.clone())
    for who, (make, batch) in offers.items():
        try:
            mixing = make(method, CLASSES)
        except ImportError as error:
            missing.append(f"{who.partition(' | ')[0]}: {error}")
            continue
        calls[who] = lambda mixing=mixing, batch=batch: mixing(batch, y)
    return calls


def figure(found: list[Row]) -> Figure:
    """Bars: a clone is 1."""
    labels = [f"{row.labels['method']}: {row.labels['who']}, {row.labels['memory']}" for row in found]
    return figures.bars(labels, {"clones": [row.values["clones"] for row in found]}, "time by that of x.clone()", line=1)
