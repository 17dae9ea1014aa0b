"""Arguments that a function does not take: refused with the one that is meant, where Python would only count or name them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

from featmix.errors import FeatmixError, nearest, told

_F = TypeVar("_F", bound=Callable[..., Any])


def helpful(who: str, fixes: Mapping[str, str] | None = None, *, write: str = "") -> Callable[[_F], _F]:
    """Decorator of a public function or method: names that it does not take, values too many and too few are refused in words.

    The signature stays as it is.

    Args:
        who: Who refuses.
        fixes: What to do about names that are likely, by name.
        write: A call as it should be, for values too many or too few.

    Example:
        >>> @helpful("fade", write="fade(x, lam=0.9)")
        ... def fade(x, *, lam=0.9): ...
        >>> fade(1, lamb=0.5)
        Traceback (most recent call last):
        featmix.errors.FeatmixError: fade: lamb: expected one of its arguments: x, lam, got 'lamb'. Did you mean 'lam'?
        >>> fade(1, 0.5)
        Traceback (most recent call last):
        featmix.errors.FeatmixError: fade: expected at most 1 argument without a name, got 2. Write fade(x, lam=0.9).
    """

    def decorate(function: _F) -> _F:
        kinds = inspect.Parameter
        parameters = list(inspect.signature(function).parameters.values())
        method = bool(parameters) and parameters[0].name == "self"
        plain = [p.name for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
        names = {p.name for p in parameters if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)}
        needed = [p.name for p in parameters if p.default is kinds.empty and p.name in plain]
        takes_any = any(p.kind is kinds.VAR_KEYWORD for p in parameters)
        shown = [p.name for p in parameters[method:]]

        def checked(*given: Any, **named: Any) -> Any:
            if len(given) > len(plain):
                raise _too_many(who, given[method:], len(plain) - method, write)
            if not takes_any:
                for name in named:
                    if name not in names:
                        raise _unknown(who, name, shown, fixes or {})
            if len(given) < len(needed):
                for name in needed[len(given) :]:
                    if name not in named:
                        raise _missing(who, name, write)
            return function(*given, **named)

        checked.__code__ = checked.__code__.replace(co_name=function.__name__)  # of its own: compilers mark code, not functions
        return cast(_F, functools.wraps(function)(checked))

    return decorate


def _unknown(who: str, name: str, known: Sequence[str], fixes: Mapping[str, str]) -> FeatmixError:
    expected, fix = f"one of its arguments: {', '.join(known)}", fixes.get(name.lower()) or nearest(name, known)
    return FeatmixError(who, name, expected=expected, got=repr(name), fix=fix if name.lower() in fixes or "Did" in fix else "")


def _too_many(who: str, given: Sequence[Any], most: int, write: str) -> FeatmixError:
    expected = f"at most {most} argument{'s' * (most != 1)} without a name" if most else "arguments by name"
    got = str(len(given)) if most else ", ".join(_short(value) for value in given)
    return FeatmixError(who, expected=expected, got=got, fix=f"Write {write}." if write else "")


def _missing(who: str, name: str, write: str) -> FeatmixError:
    return FeatmixError(who, name, expected="a value", got="none", fix=f"Write {write}." if write else "")


def _short(value: object) -> str:
    return told(value) if isinstance(value, str | int | float) else type(value).__name__
