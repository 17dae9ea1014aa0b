"""Files that are kept of each run beside its row: the network, predictions, learning curves and accuracies by class."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from featmix.compare.measuring import answers, measure
from featmix.compare.results import Key
from featmix.compare.sources import Images, Source, Trial
from featmix.errors import FeatmixError
from featmix.support.files import write

if TYPE_CHECKING:
    from lightning_fabric import Fabric

KEPT, ABOUT = "kept", "about.json"
IN_DOMAIN, HELD_OUT = "in_domain", "held_out"

Counts = npt.NDArray[np.int64]

_SUFFIXES = (".pt", ".npz", ".json")  # the last is written last: where it is, the others are
_MOST_BYTES = 2**24
_UNSAFE = re.compile(r"[^A-Za-z0-9_.=-]+")


@dataclass(frozen=True)
class Point:
    """A point of a learning curve.

    Args:
        epoch: Number of passes over the training images so far.
        loss: Mean training loss of the epoch, with mixed labels if labels are mixed.
        in_domain_accuracy: Accuracy on test images of the training domains.
        held_out_accuracy: Accuracy on images of the held-out domain; None if there is none.
    """

    epoch: int
    loss: float
    in_domain_accuracy: float | None
    held_out_accuracy: float | None


@dataclass(frozen=True)
class Kept:
    """The kept results of a run.

    Args:
        key: Key of its row: strategy, settings, site, seed and held-out domain.
        curve: Learning curve, with one point per epoch.
        class_accuracy: Accuracy of each class, by ``in_domain`` and ``held_out``; None for a class without test images.
        network: File with the weights, in the form that ``--weights`` takes.
        answers: File with labels, domains, probabilities and confusion counts of the test images, by ``in_domain`` and
            ``held_out``.
    """

    key: Key
    curve: tuple[Point, ...]
    class_accuracy: dict[str, tuple[float | None, ...]]
    network: Path
    answers: Path

    def confusion(self, where: str) -> Counts:
        """Return the confusion matrix: the number of images by true class (rows) and predicted class (columns).

        Args:
            where: ``in_domain`` or ``held_out``.

        Raises:
            FeatmixError: If the file cannot be read, or has no counts for these images.
        """
        try:
            with np.load(self.answers, allow_pickle=False) as file:
                found: Counts = file[f"{where}_confusion"]
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise FeatmixError("kept", where, expected="answers that can be read", got=f"{self.answers} ({error})") from error
        return found


class Keeper:
    """Measures a run after each epoch, and writes its kept files.

    Args:
        network: The bare module that is trained.
        fabric: Device and precision.
        trial: The images.
        num_classes: Number of classes.
    """

    def __init__(self, network: nn.Module, fabric: Fabric, trial: Trial, num_classes: int) -> None:
        self._network, self._fabric, self._trial, self._classes = network, fabric, trial, num_classes
        self._curve: list[Point] = []

    def after_epoch(self, epoch: int, loss: float) -> None:
        """Measure the network, and leave it in eval mode."""
        found = measure(self._network, self._fabric, self._trial, self._classes)
        self._curve.append(Point(epoch, loss, found["in_domain_accuracy"], found["held_out_accuracy"]))

    @torch.no_grad()
    def write(self, folder: Path, key: Key) -> None:
        """Write the network, its predictions and the other kept files.

        Args:
            folder: The folder, made if missing.
            key: Key of the run's row.
        """
        self._network.eval()
        folder.mkdir(parents=True, exist_ok=True)
        columns: dict[str, npt.NDArray[Any]] = {}
        accuracy = {}
        for where, images in ((IN_DOMAIN, self._trial.seen), (HELD_OUT, self._trial.unseen)):
            if images is not None:
                columns |= {f"{where}_{name}": column for name, column in self._answered(images).items()}
                confusion = columns[f"{where}_confusion"]
                counts = zip(confusion.diagonal().tolist(), confusion.sum(1).tolist(), strict=True)
                accuracy[where] = [right / count if count else None for right, count in counts]
        network, table, about = (folder / f"{name_of(key)}{suffix}" for suffix in _SUFFIXES)
        weights, packed = io.BytesIO(), io.BytesIO()
        torch.save({name: value.cpu() for name, value in self._network.state_dict().items()}, weights)
        np.savez_compressed(packed, **columns)  # type: ignore[arg-type] # every column is an array
        write(network, weights.getvalue())
        write(table, packed.getvalue())
        record = {"key": list(key), "curve": [asdict(point) for point in self._curve], "class_accuracy": accuracy}
        write(about, json.dumps(record, indent=1) + "\n")

    def _answered(self, images: Images) -> dict[str, npt.NDArray[Any]]:
        parts = [part.cpu() for part, _ in answers(self._network, self._fabric, images)]
        probabilities = torch.cat(parts) if parts else torch.zeros(0, self._classes)
        pairs = images.labels * self._classes + probabilities.argmax(1)
        confusion = torch.bincount(pairs, minlength=self._classes**2).view(self._classes, self._classes)
        columns = {"labels": images.labels, "domains": images.domains, "probabilities": probabilities, "confusion": confusion}
        return {name: column.numpy() for name, column in columns.items()}


def name_of(key: Key) -> str:
    """Return the name of a run's files, without their endings.

    Example:
        >>> name_of(("moex", "lam=0.9", "stem", 3, "plain"))
        'seed3-plain-moex-lam=0.9-stem-4fc6748d'
    """
    strategy, settings, site, seed, held_out = key
    words = [_UNSAFE.sub("_", word)[:40] for word in (held_out, strategy, settings, site) if word]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:8]
    return "-".join([f"seed{seed}", *words, digest])


def is_kept(folder: Path, key: Key) -> bool:
    """Return whether all kept files of a run are in the folder."""
    return all((folder / f"{name_of(key)}{suffix}").is_file() for suffix in _SUFFIXES)


def files_of(folder: Path, key: Key) -> list[Path]:
    """Return the kept files of a run that exist."""
    paths = [folder / f"{name_of(key)}{suffix}" for suffix in _SUFFIXES]
    return [path for path in paths if path.is_file()]


def throw_away(folder: Path) -> None:
    """Remove the kept files of all runs."""
    for path in folder.glob("seed*"):
        if path.suffix in _SUFFIXES:
            path.unlink()
    (folder / ABOUT).unlink(missing_ok=True)


def copy(key: Key, folder: Path, target: Path) -> None:
    """Copy the kept files of a run, if all of them exist, and the names of classes."""
    if is_kept(folder, key):
        target.mkdir(exist_ok=True)
        for path in (*files_of(folder, key), folder / ABOUT):
            if path.is_file():
                shutil.copyfile(path, target / path.name)


def write_about(folder: Path, source: Source) -> None:
    """Write the names of classes and domains."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / ABOUT, json.dumps({"classes": list(source.classes), "domains": list(source.domains)}, indent=1) + "\n")


def read_about(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read the names of classes and domains.

    Raises:
        FeatmixError: If they cannot be read.
    """
    found = _read(folder / ABOUT)
    if not isinstance(found, dict) or not all(_are_words(found.get(name)) for name in ("classes", "domains")):
        raise FeatmixError(str(folder / ABOUT), expected="names of classes and domains", got="something else")
    return tuple(found["classes"]), tuple(found["domains"])


def read_kept(folder: Path, keys: Sequence[Key]) -> Iterator[Kept]:
    """Yield the kept results of runs, without runs that have none.

    Args:
        folder: ``kept`` in the output folder.
        keys: Keys of the runs' rows.

    Raises:
        FeatmixError: If a file is not in the expected format.
    """
    for key in keys:
        if is_kept(folder, key):
            network, table, about = files_of(folder, key)
            found = _read(about)
            try:
                curve = tuple(Point(**point) for point in found["curve"])
                accuracy = {str(where): tuple(shares) for where, shares in found["class_accuracy"].items()}
                numbers = [share for shares in accuracy.values() for share in shares]
                numbers += [value for point in curve for value in asdict(point).values()]
                if not all(value is None or type(value) in (int, float) for value in numbers) or found["key"] != list(key):
                    raise ValueError("other values")
            except (TypeError, KeyError, ValueError, AttributeError) as error:
                raise FeatmixError(str(about), expected="what is kept of a run", got=f"something else ({error})") from error
            yield Kept(key, curve, accuracy, network, table)


def _read(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            written = file.read(_MOST_BYTES + 1)
        if len(written) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES >> 20} MiB")
        return json.loads(written)
    except (OSError, ValueError, RecursionError) as error:
        raise FeatmixError(str(path), expected="a file that can be read", got=str(error)) from error


def _are_words(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(word, str) for word in found)
