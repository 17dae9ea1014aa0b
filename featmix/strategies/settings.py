"""The settings of a strategy: their defaults, and which one was meant by a name that it does not have, or by none."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

from torch import Tensor, nn

from featmix.errors import FeatmixError, told
from featmix.support.signatures import parameters_of

_Init = TypeVar("_Init", bound=Callable[..., None])

_STRENGTH = ("lam", "alpha", "strength")
_ALIKE: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (  # what others call a setting, and what it may be here
    ((*_STRENGTH, "beta", "factor", "lambda_", "lamda", "lmbda", "mixup_alpha", "cutmix_alpha", "sigma"), _STRENGTH),
    (("cutmix_prob", "mix_prob", "prob", "proba", "probability"), ("p",)),
    (("classes", "n_classes", "nb_classes", "nclasses", "num_class", "num_labels", "numclasses"), ("num_classes",)),
    (("normalization", "normalisation", "normalizer", "norm_type"), ("norm",)),
    (("mix", "pairing"), ("partner",)),
    (("epsilon",), ("eps",)),
    (("batchwise", "elementwise", "per_sample", "samplewise"), ("per", "lam_per")),
)
_TORCHS = {"BatchNorm": "bn", "GroupNorm": "gn<G>", "InstanceNorm": "in", "LayerNorm": "ln"}


def explained(init: _Init) -> _Init:
    """Decorator of a constructor: what it does not take is refused with the setting that was meant.

    Python's own message names neither. The signature stays as it is.

    Example:
        >>> class Fade:
        ...     @explained
        ...     def __init__(self, *, lam: float = 0.9) -> None:
        ...         self.lam = lam
        >>> Fade(alpha=0.4)
        Traceback (most recent call last):
        featmix.errors.FeatmixError: Fade: alpha: expected a setting of this strategy, got 'alpha'. Did you mean 'lam'? ...
        >>> Fade(0.4)
        Traceback (most recent call last):
        featmix.errors.FeatmixError: Fade: lam: expected settings by name, got 0.4 without a name. Write Fade(lam=0.4).
    """
    parameters = list(inspect.signature(init).parameters.values())[1:]
    kinds = [parameter.kind for parameter in parameters]
    most = sum(kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD) for kind in kinds)
    names, named = {parameter.name for parameter in parameters}, inspect.Parameter.VAR_KEYWORD not in kinds
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return init

    @functools.wraps(init)
    def checked(self: Any, *given: Any, **settings: Any) -> None:
        if len(given) > most:
            raise unnamed(type(self), given, parameters)
        for name in settings if named else ():
            if name not in names:
                raise unknown(type(self), name)
        init(self, *given, **settings)

    return cast(_Init, checked)


def unknown(cls: type, name: str) -> FeatmixError:
    """Return the refusal of a setting that a class does not have, with the one that may be meant."""
    usual = usual_settings(cls)
    fix = meant(name, usual)
    likely = fix.split("'")[1] if fix.startswith("Did you mean") else ""
    example = {"num_classes": 10}.get(likely, usual.get(likely))
    if example not in (None, inspect.Parameter.empty):
        fix += f" Write {cls.__name__}({likely}={example!r})."
    return FeatmixError(cls.__name__, name, expected="a setting of this strategy", got=repr(name), fix=fix)


def meant(name: str, known: Iterable[str]) -> str:
    """Return a sentence that names the settings that may be meant, by what other libraries call them or by their letters.

    Example:
        >>> meant("prob", ["alpha", "p", "num_classes"]), meant("alhpa", ["alpha", "p"])
        ("Did you mean 'p'?", "Did you mean 'alpha'?")
    """
    there = list(known)
    for words, ours in _ALIKE:
        found = [repr(one) for one in ours if one in there]
        if name.lower() in words and found:
            return f"Did you mean {' or '.join(found)}?"
    close = difflib.get_close_matches(name, there, n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else f"It takes {', '.join(there)}."


def unnamed(cls: type, given: Sequence[Any], parameters: Sequence[inspect.Parameter]) -> FeatmixError:
    """Return the refusal of settings without names, with the line that has them."""
    first = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    named = [p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY]
    if any(isinstance(value, Tensor) for value in given):
        fix = f"Make the strategy first, then call it: {cls.__name__}()(images)."
        return FeatmixError(cls.__name__, expected="settings by name", got="a batch", fix=fix)
    values = [told(value) for value in given]
    extra = list(zip(named, values[len(first) :], strict=False))
    call = ", ".join([*values[: len(first)], *(f"{name}={value}" for name, value in extra)])
    fix = f"Write {cls.__name__}({call})." if extra else ""
    got = f"{', '.join(values[len(first) :])} without a name"
    return FeatmixError(cls.__name__, extra[0][0] if extra else "", expected="settings by name", got=got, fix=fix)


def no_normalizer(cls: type, norm: object) -> FeatmixError:
    """Return the refusal of something that is neither a normalizer nor the name of one."""
    fix = "For example norm='pono'."
    if isinstance(norm, nn.Module):
        short = next((ours for theirs, ours in _TORCHS.items() if type(norm).__name__.startswith(theirs)), "in")
        fix = f"For torch's {type(norm).__name__} write {short.replace('<G>', str(getattr(norm, 'num_groups', '<G>')))!r}."
    elif isinstance(norm, int | float) and not isinstance(norm, bool):
        usual = {name: value for name, value in usual_settings(cls).items() if name in _STRENGTH}
        name = next(iter(usual), "p")
        fix = f"Other settings have names. Write {cls.__name__}({name}={told(norm)})."
    expected = "the name of a normalizer, such as 'pono' or 'in', or a Normalizer"
    return FeatmixError(cls.__name__, "norm", expected=expected, got=told(norm), fix=fix)


def usual_settings(cls: type) -> dict[str, Any]:
    """Return the settings of a strategy's class with their defaults, those passed on to a base class included.

    Example:
        >>> import featmix as fm
        >>> list(usual_settings(fm.Mixup).items())[:3]
        [('alpha', 1.0), ('lam_per', 'batch'), ('inplace', False)]
    """
    found: dict[str, Any] = {}
    for one in (c for c in cls.__mro__[:-1] if "__init__" in vars(c)):
        parameters = parameters_of(vars(one)["__init__"])[1:]
        usual = {p.name: p.default for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        found = {**usual, **found}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    listed: Callable[[], Sequence[str]] | None = getattr(cls, "setting_names", None)
    return found if listed is None else {name: found[name] for name in listed() if name in found}
