"""Presets of the methods that exchange moments: MoEx, pAdaIN and CrossNorm."""

from __future__ import annotations

from featmix.mixer.tree import At, Compose, SomeOf, Tree
from featmix.presets.recipes._places import (
    dense_layer_inputs,
    everywhere,
    main_path_convs,
    resnet_blocks,
    wide_resnet_blocks,
)
from featmix.presets.registry import recipe
from featmix.strategies.registry import create

MOEX = "https://github.com/Boyiliee/MoEx"
PADAIN = "https://github.com/onuriel/PermutedAdaIN"
CROSSNORM = "https://github.com/amazon-science/crossnorm-selfnorm"


@recipe("moex/imagenet-resnet50", source=f"{MOEX}, ImageNet/README.md")
def _moex_resnet50() -> Tree:
    """PONO after the stem's pooling, in every step."""
    return At("maxpool", create("moex", norm="pono", lam=0.9, p=1.0))


@recipe("moex/imagenet-densenet265", source=f"{MOEX}, ImageNet/run_moex_densenet.sh")
def _moex_densenet265() -> Tree:
    """PONO after the stem's pooling (torchvision's name for it), in every step."""
    return At("features.pool0", create("moex", norm="pono", lam=0.9, p=1.0))


@recipe("cutmix+moex/imagenet", source=f"{MOEX}, ImageNet/run_moex+cutmix_resnet.sh; README.md there once had lam 0.95")
def _cutmix_moex() -> Tree:
    """ResNet-50: CutMix in every step and MoEx after the stem's pooling in every fourth, both with the same partner."""
    cutmix, moex = create("cutmix", alpha=1.0, p=1.0), create("moex", norm="pono", lam=0.9, p=0.25)
    return Compose([At("input", cutmix), At("maxpool", moex)], share_partner=True)


@recipe("moex/cifar-pyramidnet200", source=f"{MOEX}, CIFAR/run.sh")
def _moex_pyramidnet() -> Tree:
    """PONO after the first convolution and its normalization, in every fourth step."""
    return At("bn1", create("moex", norm="pono", lam=0.5, p=0.25))


@recipe("moex/modelnet-pointnet++", source=f"{MOEX}, ModelNet/README.md (ModelNet10 and ModelNet40)")
def _moex_pointnet() -> Tree:
    """IN after the first set abstraction; ``gn`` of the same code averages over the channels of each point: that is ``pono``.

    The site's name here is made up: it has to return features (B, N, C), and set abstractions return coordinates too, or all
    points in one axis. Let the features go through a module of their own, and name that one.
    """
    return At("sa1.features", create("moex", norm="in", lam=0.9, p=0.5, layout="bnc"))


@recipe("padain/imagenet-resnet50", source=f"{PADAIN}, classification/training_scripts.sh and architectures/resnet.py")
def _padain_imagenet() -> Tree:
    """After every convolution of the main path, the stem's included; each place draws by itself."""
    return everywhere(main_path_convs("resnet50", stem=True), "padain", p=0.01)


@recipe("padain/cifar100-resnet18", source=f"{PADAIN}, classification/training_scripts.sh and architectures/resnet_cifar.py")
def _padain_cifar() -> Tree:
    """After every convolution of the main path, the stem's included; each place draws by itself."""
    return everywhere(main_path_convs("resnet18", stem=True), "padain", p=0.01)


@recipe("padain/gta5-resnet101", source=f"{PADAIN}, FADA/core/models/feature_extractor.py and resnet.py")
def _padain_gta5() -> Tree:
    """GTA5 to Cityscapes, as it runs: of the images, and after every convolution of the main path but the stem's.

    Each of the 100 places draws by itself. The feature extractor calls the network's parts one after the other, and its style
    module is the first of them. So it is in the training on the source; in the adversarial one after it, the first half of the
    batch takes from the second, in order.
    """
    return everywhere(["input", *main_path_convs("resnet101", stem=False)], "padain", p=0.01)


@recipe("crossnorm/cifar-wideresnet", source=f"{CROSSNORM}, cifar10-scripts/wideresnet/run-cn.sh")
def _crossnorm_wideresnet() -> Tree:
    """WideResNet-40-2: in half of the steps, at the outputs of two of the 18 blocks, drawn without replacement."""
    places = [At(site, create("crossnorm", crop="neither", p=1.0)) for site in wide_resnet_blocks(40)]
    return SomeOf(places, count=2, p=0.5)


@recipe("crossnorm/cifar-densenet", source=f"{CROSSNORM}, cifar10-scripts/densenet/run-cn.sh")
def _crossnorm_densenet() -> Tree:
    """DenseNet-40-12: in every fourth step, at the input of one of the 36 dense layers."""
    places = [At(site, create("crossnorm", crop="neither", p=1.0)) for site in dense_layer_inputs(40)]
    return SomeOf(places, count=1, p=0.25)


@recipe("crossnorm/imagenet-resnet50", source=f"{CROSSNORM}, imagenet-scripts/run-cn.sh")
def _crossnorm_imagenet() -> Tree:
    """In image space, in half of the steps: a crop restyled by a crop of the partner."""
    return At("input", create("crossnorm", crop="both", p=0.5))


@recipe("crossnorm/gta5-resnet50", source=f"{CROSSNORM}, segmentation/config/gtav/gtav_fcn50_cnsn.yaml")
def _crossnorm_gta5() -> Tree:
    """GTA5 to Cityscapes, without the paper's SelfNorm: in half of the steps, at the output of one of the 16 blocks."""
    places = [At(site, create("crossnorm", crop="style", p=1.0)) for site in resnet_blocks("resnet50")]
    return SomeOf(places, count=1, p=0.5)
