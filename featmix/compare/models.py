"""Networks by name: the small one, those of timm, and those that a user's own function makes.

A function that makes a network has a name, so that each worker process can find it: ``FILE.py:make``, ``package.module:make``.
A function that cannot be found by name, such as a lambda, can only be used in the process that made it.
"""

from __future__ import annotations

import hashlib
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from featmix.compare.network import SmallResNet
from featmix.errors import FeatmixError, nearest
from featmix.support.extras import imported
from featmix.support.loading import named_object

SMALL, TIMM = "small", "timm"
NAMELESS = "<nameless>"
WORDS = "small, timm:NAME, FILE.py:FUNCTION or package.module:FUNCTION"

Factory = Callable[..., nn.Module]
Size = tuple[int, int]
Maker = Callable[[int, Size, int], nn.Module]

_MODULE = re.compile(r"[A-Za-z_][\w.]*")
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_CLASSES = "num_classes"


def checked_word(word: str) -> str:
    """Check the form of a network's name, and return it with an absolute path.

    Raises:
        FeatmixError: If it is invalid. Whether the network exists is checked when it is made.

    Example:
        >>> checked_word("timm:resnet18"), checked_word("torchvision.models:resnet18")
        ('timm:resnet18', 'torchvision.models:resnet18')
    """
    place, colon, name = word.rpartition(":")
    if word == SMALL or word.startswith(NAMELESS):
        return word
    attribute = all(part.isidentifier() for part in name.split("."))
    if colon and place.endswith(".py") and attribute:
        return f"{Path(place).expanduser().resolve()}:{name}"
    if colon and _MODULE.fullmatch(place) and (attribute or (place == TIMM and name)):
        return word
    fix = f"Say what in it makes the network: {word}:FUNCTION." if word.endswith(".py") else ""
    raise FeatmixError("compare", "model", expected=WORDS, got=repr(word), fix=fix or nearest(word, [SMALL]))


def name_of(factory: Factory) -> str:
    """Return the name by which another process finds a function that makes networks, or ``<nameless>:...`` if it cannot.

    Example:
        >>> name_of(SmallResNet), name_of(lambda num_classes: nn.Linear(3, num_classes))
        ('featmix.compare.network:SmallResNet', '<nameless>:<lambda>')
    """
    module, name = getattr(factory, "__module__", None), getattr(factory, "__qualname__", type(factory).__name__)
    nameless = f"{NAMELESS}:{name}"
    if not isinstance(module, str) or "<" in name:
        return nameless
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not factory:
        return nameless
    if module != "__main__":
        return f"{module}:{name}"
    script = getattr(sys.modules["__main__"], "__file__", None)  # a notebook has none
    return f"{Path(script).resolve()}:{name}" if script and script.endswith(".py") and Path(script).is_file() else nameless


def is_nameless(word: str) -> bool:
    """Return whether only this process can find the function that makes the network."""
    return word.startswith(NAMELESS)


def shown(word: str) -> str:
    """Return the name of a network without the folder of its file, which differs between machines.

    Example:
        >>> shown("/home/me/nets.py:make"), shown("timm:resnet18")
        ('nets.py:make', 'timm:resnet18')
    """
    place, _, name = word.rpartition(":")
    return f"{Path(place).name}:{name}" if place.endswith(".py") else word


def maker_of(word: str, factory: Factory | None = None) -> Maker:
    """Return a function that makes a network from the number of classes, the images' size, and the small network's width.

    Code is imported here, and not when a network is made: random draws during the import would change the first network.

    Args:
        word: Name of the network.
        factory: Makes it, if it cannot be found by name.

    Raises:
        FeatmixError: If there is no such network; later, if the function fails or makes something else.
    """
    if word == SMALL:
        return lambda num_classes, size, width: SmallResNet(num_classes, width)
    if word.startswith(f"{TIMM}:"):
        return _timm(word.partition(":")[2])
    make = named_object(word, subject="compare", argument="model") if factory is None else factory
    return lambda num_classes, size, width: _called(make, word, num_classes)


def fingerprint(word: str, network: nn.Module, factory: Factory | None = None) -> str:
    """Return a fingerprint of the code of a network: of the file that makes it, its modules, and the shapes of its weights."""
    parts = [shown(word), _ADDRESS.sub("", repr(network))]
    parts += [f"{name} {tuple(value.shape)} {value.dtype}" for name, value in network.state_dict().items()]
    if word != SMALL and not word.startswith(f"{TIMM}:"):
        parts.append(_source(named_object(word, subject="compare", argument="model") if factory is None else factory))
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:16]


def _source(make: Any) -> str:
    """Return a hash of the source file of a function or class, or other text that distinguishes its versions."""
    inner = getattr(make, "func", make)  # of functools.partial
    try:
        file = inspect.getsourcefile(inner)
        if file is not None and Path(file).is_file():
            return hashlib.sha256(Path(file).read_bytes()).hexdigest()
        return inspect.getsource(inner)
    except (OSError, TypeError):
        return repr(getattr(getattr(inner, "__code__", None), "co_code", b""))


def _timm(name: str) -> Maker:
    timm = imported("timm", subject="compare", argument="model", install="featmix[timm]")
    if not timm.is_model(name):  # names with a colon are places to download from
        fix = nearest(name.partition(".")[0], timm.list_models())
        raise FeatmixError("compare", "model", expected="a network of timm", got=repr(name), fix=fix)
    about = timm.get_pretrained_cfg(name)

    def make(num_classes: int, size: Size, width: int) -> nn.Module:
        sizes = {"img_size": size} if about is not None and about.fixed_input_size else {}
        try:
            made: nn.Module = timm.create_model(name, pretrained=False, num_classes=num_classes, **sizes)
        except Exception as error:
            got = f"{type(error).__name__}: {error}"
            expected = f"{name} to take images of {size[0]} x {size[1]}"
            raise FeatmixError("compare", "model", expected=expected, got=got, fix="Try another --size.") from error
        return made

    return make


def _called(make: Any, word: str, num_classes: int) -> nn.Module:
    fix = f"For example: def make({_CLASSES}): return MyNetwork({_CLASSES})."
    if isinstance(make, nn.Module) or not callable(make):
        got = f"{'the network itself' if isinstance(make, nn.Module) else type(make).__name__} under {shown(word)}"
        expected = "a function that makes a new network each time"
        raise FeatmixError("compare", "model", expected=expected, got=got, fix=fix)
    by_name = _takes_classes_by_name(make)
    try:
        made = make(**{_CLASSES: num_classes}) if by_name else make(num_classes)
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
        expected = f"{shown(word)} to make a network, given the number of classes"
        raise FeatmixError("compare", "model", expected=expected, got=got, fix=fix) from error
    if not isinstance(made, nn.Module):
        got = f"{type(made).__name__} from {shown(word)}"
        raise FeatmixError("compare", "model", expected="a torch.nn.Module", got=got, fix=fix)
    return made


def _takes_classes_by_name(make: Any) -> bool:
    """Return whether there is an argument ``num_classes``, or further ones only by keyword, as in torchvision's models."""
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return False
    if any(one.name == _CLASSES and one.kind is not one.POSITIONAL_ONLY for one in parameters):
        return True
    places = any(one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD, one.VAR_POSITIONAL) for one in parameters)
    return not places and any(one.kind is one.VAR_KEYWORD for one in parameters)
