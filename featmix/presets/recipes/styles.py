"""Presets of the methods that perturb or blend styles and leave labels alone: MixStyle, EFDMix, DSU and CSU."""

from __future__ import annotations

from featmix.mixer.tree import At, Tree
from featmix.presets.recipes._places import SIX, STAGES, everywhere
from featmix.presets.registry import recipe
from featmix.strategies.registry import create

MIXSTYLE = "https://github.com/KaiyangZhou/mixstyle-release"
EFDM = "https://github.com/YBZh/EFDM"
DASSL = "https://github.com/KaiyangZhou/Dassl.pytorch"
DSU = "https://github.com/lixiaotong97/DSU"
DCASE = "https://github.com/CPJKU/dcase2024_task1_baseline"
CSU = "Zhang et al., WACV 2024, and its authors' code"


@recipe("mixstyle/pacs-resnet18", source=f"{DASSL}, dassl/modeling/backbone/resnet.py, as mixstyle-release runs it")
def _mixstyle_pacs() -> Tree:
    """After stages 1 to 3, across domains: batches come from two of them, 64 of each, or say which by domain labels."""
    return everywhere(STAGES[:3], "mixstyle", alpha=0.1, p=0.5, partner="crossdomain")


@recipe("mixstyle/officehome-resnet18", source=f"{DASSL}, dassl/modeling/backbone/resnet.py, as mixstyle-release runs it")
def _mixstyle_officehome() -> Tree:
    """After stages 1 and 2, across domains: batches come from two of them, 64 of each, or say which by domain labels."""
    return everywhere(STAGES[:2], "mixstyle", alpha=0.1, p=0.5, partner="crossdomain")


@recipe("mixstyle/reid-resnet50", source=f"{MIXSTYLE}, reid/scripts/r50.sh and models/resnet_ms.py")
def _mixstyle_reid() -> Tree:
    """Re-identification: after stages 1 and 2."""
    return everywhere(STAGES[:2], "mixstyle", alpha=0.1, p=0.5)


@recipe("mixstyle/reid-osnet", source=f"{MIXSTYLE}, reid/models/osnet_ms.py")
def _mixstyle_osnet() -> Tree:
    """Re-identification: after conv2 and conv3 of an OSNet."""
    return everywhere(("conv2", "conv3"), "mixstyle", alpha=0.1, p=0.5)


@recipe("mixstyle/coinrun-impala", source=f"{MIXSTYLE}, rl/coinrun/policies.py")
def _mixstyle_coinrun() -> Tree:
    """Reinforcement learning: after the first two blocks, in every step (the gate is commented out), biased variance."""
    return everywhere(("blocks.0", "blocks.1"), "mixstyle", alpha=0.3, p=1.0, unbiased=False)


@recipe("mixstyle/dcase", source=f"{DCASE}, run_training.py and helpers/utils.py; other entries have alpha 0.4, one p 0.5")
def _mixstyle_dcase() -> Tree:
    """Freq-MixStyle, of acoustic scenes: on spectrograms (B, C, F, T), one mean a frequency, in two of five steps."""
    settings = {"norm": "over:ct", "layout": "bcft", "alpha": 0.3, "p": 0.4, "partner": "permutation"}
    return At("input", create("mixstyle", **settings))


@recipe("efdmix/pacs-resnet18", source=f"{EFDM}, DomainGeneralization/imcls/scripts/res18.sh")
def _efdmix_resnet18() -> Tree:
    """After stages 1 to 3, across domains: batches come from two of them, or say which by domain labels."""
    return everywhere(STAGES[:3], "efdmix", alpha=0.1, p=0.5, partner="crossdomain")


@recipe("efdmix/pacs-resnet50", source=f"{EFDM}, DomainGeneralization/imcls/scripts/res50.sh")
def _efdmix_resnet50() -> Tree:
    """After stages 1 and 2, across domains: batches come from two of them, or say which by domain labels."""
    return everywhere(STAGES[:2], "efdmix", alpha=0.1, p=0.5, partner="crossdomain")


@recipe("efdmix/pacs-single-resnet18", source=f"{EFDM}, DomainGeneralization/imcls/scripts/res18.sh")
@recipe("efdmix/pacs-single-resnet50", source=f"{EFDM}, DomainGeneralization/imcls/scripts/res50.sh")
def _efdmix_single() -> Tree:
    """One source domain: after stages 1 to 3, any two samples."""
    return everywhere(STAGES[:3], "efdmix", alpha=0.1, p=0.5)


@recipe("efdmix/reid-osnet", source=f"{EFDM}, DomainGeneralization/reid/run.sh")
def _efdmix_osnet() -> Tree:
    """Re-identification: after conv2 and conv3 of an OSNet."""
    return everywhere(("conv2", "conv3"), "efdmix", alpha=0.1, p=0.5)


@recipe("dsu/pacs-resnet18", source=f"{DSU}, multi-domain-generalization")
@recipe("dsu/officehome-resnet18", source=f"{DSU}, multi-domain-generalization")
@recipe("dsu/reid-resnet50", source=f"{DSU}, instance-retrieval")
def _dsu() -> Tree:
    """At six places: after the first convolution (before its normalization), the pooling and each of the four stages."""
    return everywhere(SIX, "dsu", p=0.5)


@recipe("dsu/gta5-resnet101", source=f"{DSU}, semantic-segmentation/core/models/feature_extractor.py and resnet.py")
def _dsu_gta5() -> Tree:
    """GTA5 to Cityscapes, as it runs: of the images alone.

    The configuration claims the six places of the other tasks, which stand in ``ResNet.forward``. The feature extractor calls
    the network's parts one after the other instead, its style module among them, before the stem.
    """
    return At("input", create("dsu", p=0.5))


@recipe("csu/pacs-resnet18", source=CSU)
def _csu_pacs() -> Tree:
    """At DSU's six places: after the first convolution, the pooling and each of the four stages."""
    return everywhere(SIX, "csu", alpha=0.3, p=0.5)


@recipe(
    "csu/reid-osnet", source=f"{CSU}; alpha 0.3 is in the name of a run script alone, the only value that it defines is 0.1"
)
def _csu_osnet() -> Tree:
    """Re-identification: after conv2, conv3 and conv4 of an OSNet; alpha as the run is named and as in the other tasks."""
    return everywhere(("conv2", "conv3", "conv4"), "csu", alpha=0.3, p=0.5)
