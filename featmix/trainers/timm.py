"""timm: a replacement for ``timm.data.Mixup``, and strategies in hidden layers for its ``train.py``.

:class:`Mixup` takes what timm's takes and stands where timm's stands. :func:`add_arguments` and :class:`FeatMix` make a
strategy at a layer, such as MoEx at ``stem``, a flag of a training script: four lines of it change.
"""

from featmix.trainers.timm_mixup import Mixup
from featmix.trainers.timm_script import FeatMix, add_arguments

__all__ = ["FeatMix", "Mixup", "add_arguments"]
