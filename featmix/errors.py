"""The one error type of featmix, and the one kind of warning."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_BITS_WRITTEN = 1024


class FeatmixError(ValueError):
    """A refused input: who refused it, which argument, what was expected, what was given, and what to do.

    Args:
        subject: The strategy, function or file that refuses.
        argument: The argument refused; empty where the subject as a whole is at fault.
        expected: What would have been accepted.
        got: What came instead.
        fix: What the caller can do; a sentence, or empty.

    Example:
        >>> raise FeatmixError("MoEx", "lam", expected="a number in [0, 1]", got=1.5, fix="0.9 is the paper's favourite.")
        Traceback (most recent call last):
        featmix.errors.FeatmixError: MoEx: lam: expected a number in [0, 1], got 1.5. 0.9 is the paper's favourite.
    """

    def __init__(self, subject: str, argument: str = "", *, expected: str = "", got: object = "", fix: str = "") -> None:
        self.subject, self.argument, self.expected, self.got, self.fix = subject, argument, expected, got, fix
        where = f"{subject}: {argument}" if argument else subject
        # A message alone makes one too: that is how a data loader passes on what a worker raised.
        message = (f"{where}: expected {expected}, got {got}." + (f" {fix}" if fix else "")) if expected else subject
        super().__init__(printable(message))  # what came may come from a file, and end in a terminal

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle through the keyword arguments, so that the error survives the way out of a worker process."""
        return _rebuild, (self.subject, self.argument, self.expected, str(self.got), self.fix)


class FeatmixWarning(UserWarning):
    """A likely mistake, but not a certain one: filter it with ``warnings.filterwarnings("ignore", category=...)``."""


def printable(text: str) -> str:
    r"""Text for a terminal, a table or a page: characters that steer what shows them are written out, line ends and tabs stay.

    Example:
        >>> print(printable("a\x1b[2Jb \u202e c"))
        a\x1b[2Jb \u202e c
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def told(value: object) -> str:
    """The repr of a value for a message, also of a whole number that is too long to be written out.

    Example:
        >>> told(0.5), told(10**5000)
        ('0.5', 'a whole number of 16610 bits')
    """
    if isinstance(value, int) and value.bit_length() > _BITS_WRITTEN:
        return f"a whole number of {value.bit_length()} bits"
    return repr(value)


def _rebuild(subject: str, argument: str, expected: str, got: str, fix: str) -> FeatmixError:
    return FeatmixError(subject, argument, expected=expected, got=got, fix=fix)


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the closest known names, or all of them where none is close.

    Example:
        >>> nearest("mxup", ["mixup", "cutmix"])
        "Did you mean 'mixup'?"
        >>> nearest("zzz", ["mixup", "cutmix"])
        'Known: cutmix, mixup.'
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return "Did you mean " + " or ".join(repr(c) for c in close) + "?"
    return f"Known: {', '.join(names)}." if names else "There are none."
