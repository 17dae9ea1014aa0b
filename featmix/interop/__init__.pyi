"""The names of featmix.interop for editors and type checkers. Written by tools/stubs.py; do not edit."""

from featmix.interop import albumentations as albumentations
from featmix.interop import kornia as kornia
from featmix.interop import kornia_mixers as kornia_mixers
from featmix.interop import kornia_module as kornia_module
from featmix.interop import kornia_tiles as kornia_tiles
from featmix.interop import torchvision as torchvision
from featmix.interop import torchvision_transform as torchvision_transform
