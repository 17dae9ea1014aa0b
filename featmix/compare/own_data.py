"""Reads torch data sets into memory once: items are an image, a label, and optionally a domain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor

from featmix.compare.layout import TEST, VALIDATION, split_of
from featmix.compare.photos import Photos, check_room
from featmix.compare.sources import PhotoSource
from featmix.errors import FeatmixError
from featmix.pipeline.images import as_array, is_pil
from featmix.support.files import resized

ITEMS = "items (image, label) or (image, label, domain)"

_KEYS = ("image", "label", "domain")
_BYTE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


@dataclass(frozen=True)
class Part:
    """A data set, or one of several that belong together.

    Args:
        items: Its items, by index.
        domain: The domain of all its images; None if items have domains, or there is only one.
        test: Whether its images are for testing; None if a seed decides.
    """

    items: Any
    domain: str | None = None
    test: bool | None = None


def is_dataset(given: object) -> bool:
    """Return whether an object has a length and items by index, and is no text."""
    return hasattr(given, "__len__") and hasattr(given, "__getitem__") and not isinstance(given, str | bytes)


def parts_of(given: Any) -> list[Part]:
    """Return the data sets of a user.

    Args:
        given: A data set; a pair of them, for training and testing; or a mapping of either by the names of domains. The names
            ``train``, ``test`` and ``val`` are splits.

    Raises:
        FeatmixError: If it is none of these.

    Example:
        >>> [(part.domain, part.test) for part in parts_of({"photo": [1, 2], "sketch": ([3], [4])})]
        [('photo', None), ('sketch', False), ('sketch', True)]
    """
    if isinstance(given, Mapping) and given and all(isinstance(name, str) for name in given):
        splits = {name: split_of(name) for name in given}
        if all(splits.values()):
            kept = TEST if TEST in splits.values() else VALIDATION
            two = kept in splits.values()
            return [
                Part(_checked(one), test=splits[name] == kept if two else None)
                for name, one in given.items()
                if splits[name] not in (TEST, VALIDATION) or splits[name] == kept
            ]
        return [Part(part.items, str(name), part.test) for name, one in given.items() for part in parts_of(one)]
    if isinstance(given, tuple):
        if len(given) != 2:
            expected = "a pair of data sets, to train and to test on"
            raise FeatmixError("compare", "data", expected=expected, got=f"a tuple of {len(given)}")
        return [Part(_checked(one), test=bool(number)) for number, one in enumerate(given)]
    return [Part(_checked(given))]


def read_dataset(parts: Sequence[Part], name: str, size: int | None) -> PhotoSource:
    """Read data sets into memory.

    Args:
        parts: The data sets.
        name: Their name.
        size: Side in pixels that images are resized to; None leaves images of one size as they are.

    Raises:
        FeatmixError: If items are of an unknown kind, or a run could not be trained or tested on them.
    """
    for part in parts:
        _check_repeatable(part.items, name)
    known = _classes(parts, name)
    images, labels, domains, test = [], [], [], []
    total = sum(len(part.items) for part in parts)
    for part in parts:
        for image, label, domain in _items(part.items, name):
            pixels = as_bytes(image, name)
            images.append(pixels if size is None else resized(pixels, size))
            if len(images) == 1:
                check_room(name, total, *images[0].shape[-2:])
            elif images[-1].shape != images[0].shape:
                got = f"{images[0].shape[-2]} x {images[0].shape[-1]} and {images[-1].shape[-2]} x {images[-1].shape[-1]}"
                fix = "Name one that all are resized to, such as --size 32."
                raise FeatmixError(name, "size", expected="images of one size", got=got, fix=fix)
            labels.append(_label(label, known, name))
            domains.append(str(part.domain if part.domain is not None else name if domain is None else domain))
            test.append(bool(part.test))
    if not images:
        raise FeatmixError(name, expected=ITEMS, got="none")
    found = sorted(set(labels), key=lambda label: (isinstance(label, str), label))
    places: dict[int | str, int] = {label: number for number, label in enumerate(found if known is None else range(len(known)))}
    domain_names = tuple(dict.fromkeys(domains)) if any(p.domain for p in parts) else tuple(sorted(set(domains)))
    return Photos(
        name=name,
        pixels=torch.stack(images).numpy(),
        labels=np.array([places[label] for label in labels], dtype=np.int64),
        domain_labels=np.array([domain_names.index(domain) for domain in domains], dtype=np.int64),
        classes=tuple(map(str, found)) if known is None else tuple(known),
        domains=domain_names,
        test=np.array(test) if any(part.test is not None for part in parts) else None,
    ).source()


def as_bytes(image: Any, name: str) -> Tensor:
    """Return an image as uint8 ``(3, H, W)``.

    Args:
        image: A PIL image; an array ``(H, W)`` or ``(H, W, C)``; or a tensor ``(C, H, W)`` or ``(H, W)``, of 1 or 3 channels;
            bytes, 16 bits, or floats in [0, 1].
        name: Name of the data set, for messages.

    Raises:
        FeatmixError: If it is none of these.

    Example:
        >>> as_bytes(torch.ones(1, 2, 2), "mine")[:, 0, 0]
        tensor([255, 255, 255], dtype=torch.uint8)
    """
    if is_pil(image):
        if image.mode not in _BYTE_MODES:
            fix = "Convert it in the data set: image.convert('RGB')."
            raise FeatmixError(name, "image", expected="a PIL image of bytes", got=f"mode {image.mode!r}", fix=fix)
        image = image.convert("RGB")
    elif not isinstance(image, Tensor | np.ndarray):
        raise FeatmixError(name, "image", expected="a PIL image, an array or a tensor", got=type(image).__name__)
    array = as_array(image, image=True)
    array = array[:, :, None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] not in (1, 3):
        expected = "1 or 3 channels: an array (H, W, C) or a tensor (C, H, W)"
        raise FeatmixError(name, "image", expected=expected, got=f"shape {tuple(image.shape)}")
    if array.dtype == np.uint16:
        array = np.rint(array / 257)
    elif array.dtype == np.bool_:
        array = array * np.uint8(255)
    elif np.issubdtype(array.dtype, np.floating):
        if not (array.min() >= 0 and array.max() <= 1):
            got = f"values from {array.min():.3g} to {array.max():.3g}"
            fix = "Leave normalization out: images reach every network from -2 to 2."
            raise FeatmixError(name, "image", expected="floats in [0, 1]", got=got, fix=fix)
        array = np.rint(array * 255)
    elif array.dtype != np.uint8:
        raise FeatmixError(name, "image", expected="bytes, 16 bits, or floats in [0, 1]", got=str(array.dtype))
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array.astype(np.uint8), -1, 0))).expand(3, -1, -1).contiguous()


def _checked(given: Any) -> Any:
    if not is_dataset(given):
        fix = "Read it into a list first: data=list(dataset)." if hasattr(given, "__iter__") else ""
        expected = f"a name, or a data set with a length and {ITEMS} by index"
        raise FeatmixError("compare", "data", expected=expected, got=type(given).__name__, fix=fix)
    return given


def _items(items: Any, name: str) -> Iterator[tuple[Any, Any, Any]]:
    """Yield image, label and domain; the domain may be in the data set's ``domains``, one for each item or names."""
    told = _names(items, "domains")
    each = told is not None and len(told) == len(items)
    for number in range(len(items)):
        item = items[number]
        if isinstance(item, Mapping) and {"image", "label"} <= item.keys():
            found = [item.get(key) for key in _KEYS]
        elif isinstance(item, tuple | list) and len(item) in (2, 3):
            found = [*item, None][:3]
        else:
            got = f"a {type(item).__name__}" + (f" of {len(item)}" if isinstance(item, tuple | list) else "")
            raise FeatmixError(name, f"item {number}", expected=ITEMS, got=got)
        domain = found[2].item() if isinstance(found[2], Tensor | np.generic) and np.ndim(found[2]) == 0 else found[2]
        if domain is None and each and told is not None:
            domain = told[number]
        elif isinstance(domain, Integral) and told is not None and not each and 0 <= int(domain) < len(told):
            domain = told[int(domain)]
        yield found[0], found[1], domain


def _label(label: Any, known: Sequence[str] | None, name: str) -> int | str:
    """Return a class by its number, or by its name if numbers are unknown."""
    value = label.item() if isinstance(label, Tensor | np.generic | np.ndarray) and np.ndim(label) == 0 else label
    if isinstance(value, str) and known is not None and value in known:
        return list(known).index(value)
    if isinstance(value, str) and known is None:
        return value
    whole = int(value) if isinstance(value, Integral) and not isinstance(value, bool) else -1
    if whole < 0 or (known is not None and whole >= len(known)):
        expected = "a class: a whole number from 0 up, or a name" if known is None else f"one of {len(known)} classes"
        raise FeatmixError(name, "label", expected=expected, got=repr(label)[:100])
    return whole


def _classes(parts: Sequence[Part], name: str) -> list[str] | None:
    """Return the names of the classes, which must be the same in all data sets."""
    told = [names for part in parts if (names := _names(part.items, "classes")) is not None]
    if any(names != told[0] for names in told):
        got = " and ".join(", ".join(names[:5]) for names in told[:2])
        raise FeatmixError(name, "classes", expected="the same classes in all parts", got=got)
    return told[0] if len(told) == len(parts) else None


def _names(items: Any, attribute: str) -> list[str] | None:
    """Return a data set's names of classes or domains, also from a data set that it wraps."""
    inner = items
    while inner is not None and not hasattr(inner, attribute):
        inner = getattr(inner, "dataset", None)
    found = getattr(inner, attribute, None)
    if inner is not items and attribute == "domains" and found is not None and hasattr(items, "indices"):
        found = [found[row] for row in items.indices] if len(found) == len(inner) else found
    listed = found.tolist() if isinstance(found, Tensor | np.ndarray) else found
    return [str(one) for one in listed] if isinstance(listed, Sequence) and not isinstance(listed, str) and listed else None


def _check_repeatable(items: Any, name: str) -> None:
    """Refuse a data set that draws at random, since it is read only once, and every epoch would get the same draw."""
    if not len(items):
        return
    first, again = (next(iter(_items(items, name)))[0] for _ in range(2))
    if not torch.equal(as_bytes(first, name), as_bytes(again, name)):
        fix = "Put what draws at random into a pipeline's sample: --pipeline."
        raise FeatmixError(name, "image", expected="the same image each time", got="another one", fix=fix)
