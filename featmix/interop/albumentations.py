"""albumentations 2.0.8: a transform that exchanges an image's moments with those of a reference image.

Importing this module imports albumentations, and registers the transform where ``A.load`` and ``A.from_dict`` find it.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from featmix.errors import FeatmixError
from featmix.normalizers.base import Normalizer
from featmix.normalizers.kinds import normalizer
from featmix.normalizers.moments import Moments
from featmix.support.extras import imported

_WHO = "MomentExchange"
_INSTALL = "albumentations==2.0.8"
_interface = imported("albumentations.core.transforms_interface", subject=_WHO, install=_INSTALL)
_Transform: Any = _interface.ImageOnlyTransform
_Schema: Any = _interface.BaseTransformInitSchema
_cv2: Any = imported("cv2", subject=_WHO, install=_INSTALL)
_MAX = {np.dtype(np.uint8): 255.0, np.dtype(np.float32): 1.0}


class MomentExchange(_Transform):  # type: ignore[misc] # a class of a package without types
    """Give an image the moments of a reference image: mean and standard deviation per channel, per position or per group.

    ``y = (x - mean) / std * std_ref + mean_ref``, blended with the image: ``(1 - r) * x + r * y`` with ``r`` uniform in
    ``blend_ratio``. That is MixStyle's formula with λ = 1 - r (Zhou et al., ICLR 2021, eqs. 3 to 5) and MoEx's at r = 1 (Li et
    al., CVPR 2021, eq. 1), at the input and with a partner from elsewhere. The label stays: where the reference's class is to
    count too, mix batches with :class:`featmix.MoEx`.

    Reference images come with each call under ``metadata_key``, as ``HistogramMatching`` and ``FDA`` take theirs, and one of
    them is chosen at random. They need not have the image's size: moments per position are taken from the reference resized
    to it. They may be of the other dtype. Unlike those two this transform can be saved: settings are saved, references are not.

    Args:
        norm: Who is averaged over whom: ``in`` per channel, ``pono`` per position, ``ln`` over all, ``gn<G>`` per group of
            channels, ``gpono<G>`` per position and group, or their ``-d<D>`` forms.
        blend_ratio: Smallest and largest strength, in [0, 1]: 0 leaves the image as it is, 1 exchanges.
        metadata_key: Under which the references are passed: a list of arrays ``(h, w, C)``.
        eps: Added to the variance, inside the root; for values in [0, 1], whatever the dtype.
        p: Probability that the transform is applied.

    Raises:
        FeatmixError: If a setting does not fit, there are no references, their channels are others than the image's, or an
            image is neither uint8 nor float32 in [0, 1].

    Targets:
        image, volume; masks, boxes and keypoints stay as they are.

    Image types:
        uint8 (rounded), float32 in [0, 1]; results are clipped to that range.

    Note:
        An image of one channel has no moments per position (``pono``) apart from its content, and comes back as it is.

    Example:
        >>> import albumentations as A
        >>> image, reference = np.full((8, 8, 3), 50, np.uint8), np.full((4, 6, 3), 200, np.uint8)
        >>> pipeline = A.Compose([MomentExchange("in", blend_ratio=(1, 1), metadata_key="styles", p=1)])
        >>> int(pipeline(image=image, styles=[reference])["image"].max())
        200
        >>> A.from_dict(A.to_dict(pipeline)).transforms[0].norm
        'in'
    """

    class InitSchema(_Schema):  # type: ignore[misc]
        """The settings, of any value, for albumentations; featmix checks them in the constructor."""

        norm: Any
        blend_ratio: Any
        metadata_key: Any
        eps: Any

    def __init__(
        self,
        norm: str = "in",
        blend_ratio: tuple[float, float] = (0.5, 1.0),
        metadata_key: str = "moment_metadata",
        eps: float = 1e-5,
        p: float = 0.5,
    ) -> None:
        super().__init__(p=p)
        if not isinstance(norm, str):  # a Normalizer could not be saved
            raise FeatmixError(_WHO, "norm", expected="the name of a normalizer", got=repr(norm))
        made = normalizer(norm, layout="bhwc", eps=eps)
        if not made.exchangeable:
            raise FeatmixError(_WHO, "norm", expected="in, pono, ln, gn<G> or gpono<G>", got=repr(norm))
        if not isinstance(metadata_key, str) or not metadata_key:
            raise FeatmixError(_WHO, "metadata_key", expected="the name of an argument", got=repr(metadata_key))
        self.norm, self.eps, self.metadata_key = made.name, made.eps, metadata_key
        self.blend_ratio = _range(blend_ratio)

    @property
    def targets_as_params(self) -> list[str]:
        """Names of the arguments that each call needs."""
        return [self.metadata_key]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Choose a reference and a strength."""
        references = data[self.metadata_key]
        if isinstance(references, str) or not isinstance(references, Sequence) or not len(references):
            got = "an empty one" if isinstance(references, Sequence) and not references else type(references).__name__
            raise FeatmixError(_WHO, self.metadata_key, expected="a list of reference images", got=got)
        reference = self.py_random.choice(references)
        if not isinstance(reference, np.ndarray) or reference.dtype not in _MAX or reference.ndim not in (2, 3):
            got = f"{reference.dtype} {reference.shape}" if isinstance(reference, np.ndarray) else type(reference).__name__
            raise FeatmixError(_WHO, self.metadata_key, expected="images (h, w, C), uint8 or float32 in [0, 1]", got=got)
        return {"reference": reference, "ratio": self.py_random.uniform(*self.blend_ratio)}

    def apply(self, img: NDArray[Any], reference: NDArray[Any], ratio: float, **params: Any) -> NDArray[Any]:
        """Exchange the moments of one image.

        Args:
            img: ``(H, W, C)`` or ``(H, W)``.
            reference: The image whose moments it gets.
            ratio: How much of the exchange, in [0, 1].
            params: Not used.
        """
        if img.dtype not in _MAX:
            raise FeatmixError(_WHO, "image", expected="uint8 or float32", got=str(img.dtype))
        norm = normalizer(self.norm, layout="bhwc", eps=self.eps)
        x, other = _batch(img, "image"), _batch(reference, self.metadata_key)
        if x.shape[3] != other.shape[3]:
            raise FeatmixError(
                _WHO, self.metadata_key, expected=f"{x.shape[3]} channels, as the image has", got=f"{other.shape[3]}"
            )
        if not x.numel() or norm.group_size(x.shape) == 1 or ratio == 0:
            return img
        exchanged = _exchange(norm, x, _moments(norm, other, x.shape))
        blended = torch.lerp(x, exchanged, ratio).clamp(0, 1).mul(_MAX[img.dtype])
        if img.dtype == np.uint8:
            blended = blended.round()
        result: NDArray[Any] = blended[0].numpy().astype(img.dtype).reshape(img.shape)
        return result


def _moments(norm: Normalizer, other: torch.Tensor, shape: torch.Size) -> Moments:
    """The moments of a reference, for an image of this shape."""
    if not norm.over_positions and other.shape[1:3] != shape[1:3]:
        resized = _cv2.resize(other[0].numpy(), dsize=(shape[2], shape[1]), interpolation=_cv2.INTER_LINEAR)
        other = torch.from_numpy(resized.reshape(shape))
    return norm.moments(other)


def _exchange(norm: Normalizer, x: torch.Tensor, new: Moments) -> torch.Tensor:
    xh, _ = norm.normalize(x)
    return norm.denormalize(xh, new)


def _batch(image: NDArray[Any], argument: str) -> torch.Tensor:
    """A batch of one, ``(1, H, W, C)`` float32 in [0, 1]."""
    values = torch.from_numpy(np.ascontiguousarray(image)).float() / _MAX[image.dtype]
    if values.numel() and not 0 <= float(values.min()) <= float(values.max()) <= 1:
        raise FeatmixError(
            _WHO,
            argument,
            expected="float32 in [0, 1], as all of albumentations has it",
            got=f"values from {float(values.min()):.3g} to {float(values.max()):.3g}",
            fix="Exchange moments before normalizing.",
        )
    return values.reshape(1, *image.shape[:2], -1)


def _range(given: tuple[float, float]) -> tuple[float, float]:
    numbers = isinstance(given, Sequence) and len(given) == 2 and all(isinstance(n, Real) for n in given)
    if not numbers or not 0 <= given[0] <= given[1] <= 1:
        raise FeatmixError(_WHO, "blend_ratio", expected="two numbers in [0, 1], the smaller one first", got=repr(given))
    return float(given[0]), float(given[1])
