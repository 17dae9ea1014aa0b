"""Adapters: the laws on things that nobody wrote for featmix, such as functions, black boxes and torch's own layers."""

from featmix.testing.adapters.accept import ACCEPTED, adapt
from featmix.testing.adapters.functions import FunctionStrategy, MomentFunctionStrategy, from_function
from featmix.testing.adapters.mixers import MixerParams, MixerStrategy, from_mixer
from featmix.testing.adapters.normalizers import ForeignNormalizer, NormalizerLike, from_normalizer
from featmix.testing.adapters.torch_layers import from_torch_norm

__all__ = [
    "ACCEPTED",
    "ForeignNormalizer",
    "FunctionStrategy",
    "MixerParams",
    "MixerStrategy",
    "MomentFunctionStrategy",
    "NormalizerLike",
    "adapt",
    "from_function",
    "from_mixer",
    "from_normalizer",
    "from_torch_norm",
]
