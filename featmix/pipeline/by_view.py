"""A tree for each view of a sample."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from featmix.errors import FeatmixError, nearest
from featmix.mixer.tree import Compose, OneOf, Request, Tree, as_tree
from featmix.pipeline.names import Name
from featmix.strategies.params import Params


class NoMix(Compose):
    """A tree of which nothing is drawn, and labels stay: of a pipeline, or a view, without any."""

    def __init__(self) -> None:
        self.members, self.share_partner = (), False


class ByView(OneOf):
    """The tree of the view that is drawn for; those of others are drawn too and left idle, as in :class:`featmix.OneOf`.

    Args:
        members: A tree for each view.
        views: What the views are called.

    Attributes:
        chosen: The number of the view that is drawn for.
    """

    def __init__(self, members: Sequence[Tree], *, views: Sequence[Name]) -> None:
        super().__init__(members)
        self.views = tuple(views)
        self.chosen: int | None = None

    @classmethod
    def of(cls, trees: Mapping[Name, Any]) -> ByView:
        """What ``mix_views=`` stands for.

        Args:
            trees: By the name of a group, or the position in the list of views: strategies at sites, a tree, or ``None``.

        Raises:
            FeatmixError: If it is no mapping of these.
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
            FeatmixError: If there is none of that name.
        """
        if isinstance(view, bool) or not isinstance(view, str | int) or view not in self.views:
            fix = nearest(view, [name for name in self.views if isinstance(name, str)]) if isinstance(view, str) else ""
            expected = f"one of {', '.join(map(repr, self.views))}, by which mix_views= says what is mixed"
            raise FeatmixError(who, "view", expected=expected, got=repr(view), fix=fix)
        return self.views.index(view)

    def draw(self, request: Request) -> list[Params]:
        """Return one decision for each leaf, all but the chosen view's idle."""
        if self.chosen is None:
            raise FeatmixError("mix_views", "view", expected=f"one of {', '.join(map(repr, self.views))}", got="none")
        drawn = [member.draw(request) for member in self.members]
        return [p if k == self.chosen else p.idle() for k, member in enumerate(drawn) for p in member]
