"""A strategy as a transform of torchvision's. Made by :func:`featmix.interop.torchvision.to_torchvision`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from featmix.errors import FeatmixError
from featmix.strategies.base import Strategy
from featmix.strategies.params import Params
from featmix.support.calling import acts
from featmix.support.extras import imported


class TorchvisionTransform(nn.Module):
    """The transform that :func:`~featmix.interop.torchvision.to_torchvision` makes; see there.

    Args:
        strategy: What mixes.
        num_classes: For class indices; by default the strategy's own.
        labels_getter: What takes the labels out of a sample.
    """

    def __init__(
        self, strategy: Strategy, *, num_classes: int | None, labels_getter: str | Callable[[Any], Any] | None
    ) -> None:
        super().__init__()
        if labels_getter not in ("default", None) and not callable(labels_getter):
            raise FeatmixError(
                "to_torchvision", "labels_getter", expected="'default', a function or None", got=repr(labels_getter)
            )
        self.strategy = strategy
        self.num_classes = strategy.num_classes if num_classes is None else num_classes
        self.labels_getter = labels_getter
        self._decision: Params | None = None

    @property
    def decision(self) -> Params:
        """The decision of the last call.

        Raises:
            FeatmixError: If there was none.
        """
        if self._decision is None:
            raise FeatmixError("TorchvisionTransform", "decision", expected="a call before", got="none yet")
        return self._decision

    def forward(self, *inputs: Any) -> Any:
        """Mix a batch, nested as torchvision takes it."""
        sample = inputs if len(inputs) > 1 else inputs[0]
        flat, spec = tree_flatten(sample)
        labels = self._labels(sample)
        images = self._images(flat, labels)
        self._decision = self._decide(flat[images[0]], labels)
        done = [self._transformed(entry, k in images) for k, entry in enumerate(flat) if entry is not labels]
        if labels is not None:
            place = next((k for k, entry in enumerate(flat) if entry is labels), None)
            if place is None:
                raise FeatmixError(
                    type(self.strategy).__name__,
                    "labels_getter",
                    expected="the very tensor that is in the sample",
                    got="another one",
                    fix="Return the entry as it is, not a copy or a view of it.",
                )
            done.insert(place, self.decision.mixture.to(labels.device).dense(labels, self.num_classes))
        return tree_unflatten(done, spec)

    def _transformed(self, entry: Any, image: bool) -> Any:
        tv = _tv_tensors()
        if image or isinstance(entry, tv.Mask):
            plain = entry.as_subclass(Tensor)
            act = self.strategy.transform if image else self.strategy.dense_targets
            result = act(plain, self.decision)
            return tv.wrap(result, like=entry) if isinstance(entry, tv.TVTensor) else result
        if isinstance(entry, tv.TVTensor) and self.strategy.tags.mixes_labels:
            raise FeatmixError(
                type(self.strategy).__name__,
                type(entry).__name__,
                expected="images, masks and labels",
                got="some, of which part belong to other samples now",
                fix="Take them out of the sample, or use a strategy with mixes_labels=False.",
            )
        return entry

    def _images(self, flat: list[Any], labels: Tensor | None) -> list[int]:
        """Return the places of the images: entries that are tagged as images, or else the first plain tensor."""
        tv = _tv_tensors()
        named = [k for k, entry in enumerate(flat) if isinstance(entry, tv.Image | tv.Video)]
        plain = [k for k, entry in enumerate(flat) if type(entry) is Tensor and entry is not labels]
        if not named and not plain:
            got = ", ".join(sorted({type(entry).__name__ for entry in flat}))
            raise FeatmixError(
                type(self.strategy).__name__,
                "images",
                expected="a batch of images as a tensor",
                got=got or "nothing",
                fix="Convert and collate first: it mixes samples of a batch with each other.",
            )
        return named or plain[:1]

    def extra_repr(self) -> str:
        """The strategy shows itself."""
        return "" if self.num_classes is None else f"num_classes={self.num_classes}"

    def _decide(self, images: Tensor, labels: Tensor | None) -> Params:
        x = images.as_subclass(Tensor)
        if not acts(self):
            resting: Params = self.strategy.make_params(tuple(x.shape), target=labels).idle()
            return resting
        params: Params = self.strategy.training_params(tuple(x.shape), target=labels).to(x.device)
        self.strategy.remember(x, params)
        return params

    def _labels(self, sample: Any) -> Tensor | None:
        labels = self.labels_getter(sample) if callable(self.labels_getter) else None
        if self.labels_getter == "default":
            second = sample[1] if isinstance(sample, tuple | list) and len(sample) > 1 else sample
            labels = second.get("labels") if isinstance(second, Mapping) else None if second is sample else second
        if labels is None and (not self.strategy.tags.mixes_labels or self.labels_getter is None):
            return None
        if not isinstance(labels, Tensor):
            raise FeatmixError(
                type(self.strategy).__name__,
                "labels",
                expected="a tensor of labels in the sample",
                got=type(labels).__name__,
                fix="Pass (images, labels) or a labels_getter; labels_getter=None says that there are none.",
            )
        return labels


def _tv_tensors() -> Any:
    return imported("torchvision.tv_tensors", subject="to_torchvision", install="torchvision>=0.21")
