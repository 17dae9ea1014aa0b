"""The decisions of a step by site: a site that is not among them is refused in words."""

from __future__ import annotations

from featmix.errors import FeatmixError, nearest
from featmix.strategies.params import Params


class NoSuchSiteError(FeatmixError, KeyError):
    """A site at which nothing was decided; also a ``KeyError``, for code that expects a dictionary's."""

    def __str__(self) -> str:
        return ValueError.__str__(self)


class BySite(dict[str, Params]):
    """Decisions by site.

    Raises:
        NoSuchSiteError: For a site without one, as an item.

    Example:
        >>> BySite()["head"]
        Traceback (most recent call last):
        featmix.mixer.by_site.NoSuchSiteError: Mix.params: expected a site at which something is attached, got 'head'. ...
    """

    def __missing__(self, site: object) -> Params:
        fix = nearest(site, self) if isinstance(site, str) else f"Known: {', '.join(map(repr, self))}."
        raise NoSuchSiteError("Mix.params", expected="a site at which something is attached", got=repr(site), fix=fix)
