"""What a training loop seems to have forgotten: one warning for each, and the loop goes on.

Nothing here is certainly wrong; what is certain is refused. So a warning comes only after a number of steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from featmix.mixer.record import Record
from featmix.mixer.tree import At, Tree
from featmix.schedule import Schedule
from featmix.strategies.noticing import DRAWS, waiting, warn_of_no_effect, warn_of_progress
from featmix.support.warning import warn

FORWARDS = 100  # of training, before the first draw
EPOCH = 10  # of training, and then one in eval mode: the shortest epoch that is taken for one
UNASKED = 10  # decisions that mixed labels, one after the other; a backward pass through one of them needs no more


class Notices:
    """Counts missing calls of a mixer, and warns.

    Args:
        tree: What is attached; ``None`` where nothing is to be said.
    """

    def __init__(self, tree: Tree | None = None) -> None:
        self._schedules = [] if tree is None else _schedules(tree)
        self._leaves = () if tree is None else tree.leaves()
        self._awaits_progress, self._awaits_draw = bool(self._schedules), bool(self._leaves)
        self._awaits_question = tree is not None
        self._draws = self._forwards = self._unasked = 0
        self._looked_at: set[At] = set()
        self._effect_noticed = self._boxes_noticed = False
        self._last: Record | None = None

    def progress_was_set(self) -> None:
        """Progress was set, so schedules need no warning."""
        self._awaits_progress = False

    def in_use(self) -> None:
        """A decision is handed to the model."""
        self._awaits_draw = False

    def drawn(self, record: Record, shapes: Mapping[str, tuple[int, ...]], *, mixes_labels: bool) -> None:
        """Count a draw for training.

        Args:
            record: Of the decision.
            shapes: Of one sample, at each place where it is known.
            mixes_labels: Whether labels are mixed this time.
        """
        self.in_use()
        if self._awaits_progress:
            self._count_draws()
        if self._awaits_question:
            self._count_unasked(record if mixes_labels else None)
        if not self._draws:
            self._check_effects({leaf: shapes[leaf.place] for leaf in self._leaves if leaf.place in shapes})
        self._draws += 1

    def clean_forward(self, *, training: bool, gradient: bool) -> None:
        """Count a forward that took no decision.

        Args:
            training: Whether the model is in training mode.
            gradient: Whether gradients are recorded.
        """
        if not self._awaits_draw:
            return
        self._forwards += training and gradient
        if self._forwards < (FORWARDS if training else EPOCH):
            return
        self._awaits_draw = False
        warn(
            "attach",
            expected="mixer.draw(images, target=labels) before each training forward",
            got=f"{self._forwards} training forwards and no draw: nothing is mixed",
            fix="Where training is to begin without mixing, give p a schedule or attach later.",
        )

    def loss_without_draw(self) -> None:
        """A loss is asked for an output in training, and nothing was ever drawn."""
        if self._awaits_draw:
            self._awaits_draw = False
            warn(
                "Mixer.loss",
                expected="mixer.draw(images, target=labels) before each training forward, or attach(..., auto=True)",
                got="a loss in training and no draw: nothing is mixed",
                fix="Where training is to begin without mixing, take the criterion itself.",
            )

    def boxes_that_cannot_be_followed(self, places: Sequence[str]) -> None:
        """Warn, once, that labels are those of the content on average only.

        Args:
            places: Where the strategies with boxes or masks act.
        """
        if not self._boxes_noticed:
            self._boxes_noticed = True
            warn(
                "Mixer.draw",
                expected="one strategy with boxes or masks a step, or several whose positions can be followed",
                got=f"several at {' and '.join(map(repr, places))}, of which one does not say where it acts, or on grids of "
                "other numbers of axes: their shares are multiplied, which is right on average, but not in each row",
                fix="Take one of them a step with fm.OneOf. A ContentStrategy says where it acts by partner_share.",
            )

    def met(self, leaf: At, sample: tuple[int, ...]) -> None:
        """Look at the first features that a strategy meets, where their shape was not known before.

        Args:
            leaf: The strategy, and where it is.
            sample: The shape of one sample.
        """
        if leaf not in self._looked_at:
            self._check_effects({leaf: sample})

    def _check_effects(self, samples: Mapping[At, tuple[int, ...]]) -> None:
        """Warn where strategies leave features as they are, in a batch of any size; once, of all places."""
        self._looked_at.update(samples)
        idle = [leaf for leaf, s in samples.items() if leaf.strategy.passes_through(leaf.strategy.body_shape((2, *s)))]
        if idle and not self._effect_noticed:
            self._effect_noticed = True
            warn_of_no_effect(idle[0].strategy, samples[idle[0]], [leaf.place for leaf in idle])

    def _count_draws(self) -> None:
        if self._draws + 1 == DRAWS:
            self._awaits_progress = False
            warn_of_progress("Mixer", self._schedules, "Set mixer.progress = step / total_steps before each draw.")

    def _count_unasked(self, record: Record | None) -> None:
        last, self._last = self._last, record
        if last is None or not last.taken:
            return
        self._unasked += 1
        certain = last.learned_from or self._unasked == UNASKED
        if last.asked or certain:
            self._awaits_question, self._last = False, None
        if certain and not last.asked:
            count = f"{self._unasked} decision{'s' * (self._unasked != 1)} that mixed labels"
            warn(
                "Mixer.draw",
                expected="mix.loss(criterion, output, target), or targets from mix.dense(target)",
                got=f"{count}, and nobody who asked what these became: features alone are mixed",
                fix="Write loss = mix.loss(F.cross_entropy, output, labels), not F.cross_entropy(output, labels). A detector "
                "learns from mix.targets. Where there are no labels, look at mix.mixture once.",
            )


def _schedules(tree: Tree) -> list[Schedule]:
    of_members = [schedule for member in getattr(tree, "members", ()) for schedule in _schedules(member)]
    return [*waiting(tree), *(waiting(tree.strategy) if isinstance(tree, At) else of_members)]
