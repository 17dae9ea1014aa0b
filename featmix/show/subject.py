"""The subject of a picture: a strategy in words, a preset, a strategy, a tree or a pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from featmix.compare.network import HIDDEN_SITES, check_site, usual_site
from featmix.compare.stand_ins import on_small_network
from featmix.errors import FeatmixError
from featmix.mixer.tree import At, Compose, OneOf, SomeOf, Tree, as_tree
from featmix.pipeline import Pipeline
from featmix.pipeline.by_view import NoMix
from featmix.pipeline.names import Names
from featmix.pipeline.normalization import Normalization
from featmix.presets.registry import list_presets, preset
from featmix.spec import at_site, parse, parts_of
from featmix.strategies.base import Strategy


@dataclass(frozen=True, eq=False)
class Subject:
    """Everything that is done to a batch.

    Args:
        tree: What is mixed, and where.
        sample: A pipeline's ``sample`` part, or ``None``.
        batch: Its ``batch`` part, or ``None``.
        names: Which entries of an item are its images and masks.
        normalization: What is done to batches before they are mixed, or ``None``.
    """

    tree: Tree
    sample: Any = None
    batch: Any = None
    names: Names = field(default_factory=Names)
    normalization: Normalization | None = None

    @property
    def has_parts(self) -> bool:
        """True where something is done to images before they are mixed."""
        return self.sample is not None or self.batch is not None


def subject_of(what: Any, site: str | None = None, *, any_site: bool = False) -> Subject:
    """Return the subject that the arguments describe.

    A strategy that names no site acts where it usually stands; one that usually stands in a hidden layer, in the one that is
    looked at. A strategy in words acts in every step, unless ``p`` is among its settings.

    Args:
        what: A strategy as ``featmix compare`` takes it, several with ``+`` between them, the name of a preset (of which the
            sites of the small network stand for those of its own, unless ``any_site``), a strategy, a tree,
            ``{site: strategy}``, or a :class:`~featmix.Pipeline`.
        site: The hidden layer to look at.
        any_site: Whether sites are those of another network than that of ``featmix compare``.

    Raises:
        FeatmixError: If it is none of these, or names a strategy, setting or site that does not exist.

    Example:
        >>> subject_of("moex:lam=0.8", "layer1").tree.leaves()[0].site, subject_of("cutmix", "layer1").tree.leaves()[0].site
        ('layer1', 'input')
    """
    if isinstance(what, Pipeline):
        last = None if what.normalize is None else Normalization.of(what.normalize)
        return Subject(what.tree or NoMix(), what.sample, what.batch, what.names, last)
    if isinstance(what, At | Compose | OneOf | SomeOf | Mapping):
        return Subject(as_tree(what))
    if isinstance(what, Strategy):
        return Subject(at_site(_usual(what.name, site), what))
    if not isinstance(what, str):
        expected = "a strategy, a preset, a tree or a pipeline"
        raise FeatmixError("show", "what", expected=expected, got=type(what).__name__, fix="For example 'moex:lam=0.9'.")
    if what.strip().lower() in list_presets():
        made = preset(what.strip())
        return Subject(made if any_site else on_small_network(made))
    parts = parts_of(what)
    trees = [_in_words(part, site, any_site) for part in parts]
    return Subject(trees[0] if len(trees) == 1 else Compose(trees))


def _in_words(text: str, site: str | None, any_site: bool) -> Tree:
    spec = parse(text, subject="show")
    where = spec.site or _usual(spec.name, site)
    if not any_site:
        check_site(where, "show")
    return replace(spec, site=where).tree(p=1.0)


def _usual(name: str, site: str | None) -> str:
    usual = usual_site(name)
    return site if site is not None and usual in HIDDEN_SITES else usual
