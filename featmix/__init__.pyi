"""The names of featmix for editors and type checkers. Written by tools/stubs.py; do not edit."""

from featmix import configuration as configuration
from featmix import interop as interop
from featmix import schedule as schedule
from featmix import testing as testing
from featmix import trainers as trainers
from featmix.configuration import from_dict as from_dict
from featmix.configuration import load as load
from featmix.configuration import save as save
from featmix.configuration import to_dict as to_dict
from featmix.errors import FeatmixError as FeatmixError
from featmix.labels.mixture import Mixture as Mixture
from featmix.mixer.attach import attach as attach
from featmix.mixer.detach import detach as detach
from featmix.mixer.manifold import manifold_mixup as manifold_mixup
from featmix.mixer.mix import Mix as Mix
from featmix.mixer.mixer import Mixer as Mixer
from featmix.mixer.tree import At as At
from featmix.mixer.tree import Compose as Compose
from featmix.mixer.tree import OneOf as OneOf
from featmix.mixer.tree import SomeOf as SomeOf
from featmix.normalizers.base import Normalizer as Normalizer
from featmix.normalizers.kinds import list_normalizers as list_normalizers
from featmix.normalizers.kinds import normalizer as normalizer
from featmix.normalizers.moments import Moments as Moments
from featmix.pipeline.pipeline import Pipeline as Pipeline
from featmix.presets.registry import list_presets as list_presets
from featmix.presets.registry import preset as preset
from featmix.strategies.base import Strategy as Strategy
from featmix.strategies.crossnorm import CrossNorm as CrossNorm
from featmix.strategies.csu import CorrelatedStyleUncertainty as CorrelatedStyleUncertainty
from featmix.strategies.cutmix import CutMix as CutMix
from featmix.strategies.dsu import DSU as DSU
from featmix.strategies.efdmix import EFDMix as EFDMix
from featmix.strategies.fmix import FMix as FMix
from featmix.strategies.manifold_mixup import ManifoldMixup as ManifoldMixup
from featmix.strategies.mixstyle import MixStyle as MixStyle
from featmix.strategies.mixup import Mixup as Mixup
from featmix.strategies.moex import MoEx as MoEx
from featmix.strategies.mosaic import Mosaic as Mosaic
from featmix.strategies.padain import PAdaIN as PAdaIN
from featmix.strategies.params import Draw as Draw
from featmix.strategies.params import Params as Params
from featmix.strategies.patchup import PatchUp as PatchUp
from featmix.strategies.registry import create as create
from featmix.strategies.registry import list_strategies as list_strategies
from featmix.strategies.registry import register as register
from featmix.strategies.registry import strategy_class as strategy_class
from featmix.strategies.resizemix import ResizeMix as ResizeMix
from featmix.strategies.tags import Tags as Tags

__version__: str

__all__ = [
    "At",
    "Compose",
    "Draw",
    "FeatmixError",
    "Mix",
    "Mixer",
    "Mixture",
    "Moments",
    "Normalizer",
    "OneOf",
    "Params",
    "Pipeline",
    "SomeOf",
    "Strategy",
    "Tags",
    "attach",
    "configuration",
    "create",
    "detach",
    "from_dict",
    "interop",
    "list_normalizers",
    "list_presets",
    "list_strategies",
    "load",
    "manifold_mixup",
    "normalizer",
    "preset",
    "register",
    "save",
    "schedule",
    "strategy_class",
    "to_dict",
    "trainers",
]
