"""A tree for each view of a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featmix.errors import FeatmixError, nearest
from featmix.mixer.tree import Compose, OneOf, Request, Tree, as_tree
from featmix.pipeline.names import Name
from featmix.strategies.params import Params


class NoMix(Compose):
    """An empty tree, for a pipeline or a view without mixing: nothing is drawn, and labels stay."""

    def __init__(self) -> None:
        self.members, self.share_partner = (), False


class ByView(OneOf):
    """A tree for each view: only that of the current view mixes, others are drawn but idle, as in :class:`featmix.OneOf`.

    Args:
        members: A tree for each view.
        views: Names of the views.

    Attributes:
        chosen: Number of the current view.
    """

    def __init__(self, members: Sequence[Tree], *, views: Sequence[Name]) -> None:
        super().__init__(members)
        self.views = tuple(views)
        self.chosen: int | None = None

    @classmethod
    def of(cls, trees: Mapping[Name, Any]) -> ByView:
        """Make the tree from the argument ``mix_views=``.

        Args:
            trees: Maps the name of a group, or the position in the list of views, to strategies at sites, a tree, or ``None``.

        Raises:
            FeatmixError: If it is not such a mapping.
        """
        named = isinstance(trees, Mapping) and all(isinstance(v, str | int) and not isinstance(v, bool) for v in trees)
        if not named or not trees:
            fix = "For example {'weak': None, 'strong': {'input': CutMix()}}, or {0: ..., 1: ...} for a list of views."
            raise FeatmixError("Pipeline", "mix_views", expected="a tree, or None, for each view", got=repr(trees), fix=fix)
        members = [NoMix() if tree is None else as_tree(tree) for tree in trees.values()]
        return cls(members, views=tuple(trees))

    def number(self, view: Any, who: str) -> int:
        """Return the number of a view.

        Raises:
            FeatmixError: If there is no view of that name.
        """
        if isinstance(view, bool) or not isinstance(view, str | int) or view not in self.views:
            fix = nearest(view, [name for name in self.views if isinstance(name, str)]) if isinstance(view, str) else ""
            expected = f"one of {', '.join(map(repr, self.views))}, by which mix_views= says what is mixed"
            raise FeatmixError(who, "view", expected=expected, got=repr(view), fix=fix)
        return self.views.index(view)

    def draw(self, request: Request) -> list[Params]:
        """Return one decision for each leaf; only those of the chosen view are active."""
        if self.chosen is None:
            raise FeatmixError("mix_views", "view", expected=f"one of {', '.join(map(repr, self.views))}", got="none")
        drawn = [member.draw(request) for member in self.members]
        return [p if k == self.chosen else p.idle() for k, member in enumerate(drawn) for p in member]
