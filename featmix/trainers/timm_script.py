"""Strategies at layers, as flags of a fork of timm's ``train.py``: four lines of the script change."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from featmix.errors import FeatmixError
from featmix.mixer.attach import attach
from featmix.mixer.mixer import Mixer
from featmix.mixer.sites import unwrap
from featmix.mixer.tree import At, Compose, Tree
from featmix.spec import at_site, parse
from featmix.support.extras import imported
from featmix.support.warning import warn
from featmix.trainers.timm_losses import mixed_by

INSTALL = "timm>=1"
KEY = "featmix"  # of the mixer's state in an optimizer's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--featmix`` and ``--featmix-site`` to a script's arguments; they stay text, so that they can be written as YAML.

    Args:
        parser: The script's.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_arguments(parser)
        >>> parser.parse_args(["--featmix", "moex", "cutmix@input:p=0.5"]).featmix
        ['moex', 'cutmix@input:p=0.5']
    """
    group = parser.add_argument_group("featmix")
    group.add_argument(
        "--featmix",
        nargs="+",
        default=None,
        type=_checked,
        metavar="SPEC",
        help="strategies that mix features and labels, as name[@site][:setting=value,...]: moex, moex@stage1:lam=0.9,p=0.5",
    )
    group.add_argument(
        "--featmix-site",
        default="stem",
        metavar="SITE",
        help="where a strategy acts that names no site: stem, stage1, ..., input, or a module's name (default: stem)",
    )


class FeatMix(nn.Module):
    """A script's training loss, with strategies attached to its model; without ``--featmix`` the loss itself.

    The model draws for each training forward by itself, and this finds the decision that an output had: ``--grad-accum-steps``,
    ``--amp``, ``--grad-checkpointing``, ``--model-ema`` (an EMA copy never mixes), compiled models and DDP need nothing
    more. Targets may be mixed already, by timm's Mixup at the input: they are mixed once more, as the features are.

    *Resuming.* The state of the mixer goes with that of the optimizer, in timm's checkpoints as elsewhere, and comes back from
    ``args.resume``, or when the optimizer loads its state afterwards. One rank writes it, and every rank continues its own
    draws. With ``--no-resume-opt`` the mixer begins anew, as the optimizer does.

    Args:
        args: The script's arguments. Read are ``featmix`` and ``featmix_site``, and where they are there ``seed``, ``epochs``,
            ``mixup_off_epoch``, ``resume``, ``no_resume_opt`` and those of the size of images.
        model: The model, wrapped or not.
        criterion: The script's training loss.
        optimizer: Whose checkpoints keep the mixer's state; ``None`` where none is kept.
        example: A batch of two images or more, to learn the shapes at sites; made from ``args`` and the model's own
            settings where it is ``None``.

    Attributes:
        mixer: What draws for the model; ``None`` without ``--featmix``.

    Raises:
        FeatmixError: If a strategy or a site does not exist, the criterion compares rows with each other, a strategy has a
            memory, or the run distils from a teacher, which would not see what its student sees.

    Example:
        >>> parser = argparse.ArgumentParser()
        >>> add_arguments(parser)
        >>> args = parser.parse_args(["--featmix", "moex:lam=0.9", "--featmix-site", "0"])
        >>> model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5))
        >>> loss_fn = FeatMix(args, model, nn.CrossEntropyLoss(), example=torch.rand(2, 3, 8, 8))
        >>> loss_fn.set_epoch(0)
        >>> loss_fn(model(torch.rand(4, 3, 8, 8)), torch.tensor([0, 1, 2, 3])).backward()
    """

    def __init__(
        self,
        args: argparse.Namespace,
        model: nn.Module,
        criterion: Callable[..., Tensor],
        optimizer: torch.optim.Optimizer | None = None,
        *,
        example: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.criterion = criterion
        self.mixup_enabled = True
        self._epochs = int(getattr(args, "epochs", None) or 0)
        self._off_epoch = int(getattr(args, "mixup_off_epoch", None) or 0)
        self._told_epoch = False
        self.mixer: Mixer | None = None
        if not getattr(args, "featmix", None):
            return
        if getattr(args, "kd_model_name", None):
            expected, got = (
                "no teacher, which sees images whose features are not mixed",
                f"kd_model_name={args.kd_model_name!r}",
            )
            raise FeatmixError("FeatMix", "args", expected=expected, got=got, fix="Leave out --kd-model-name, or --featmix.")
        tree = _tree(args)
        _check_memories(tree)
        example = _example(args, model) if example is None else example
        seed = getattr(args, "seed", None)
        self.mixer = attach(model, tree, example=example, seed=seed, auto=self._given)
        self._loss = mixed_by(self.mixer, criterion)
        if optimizer is not None:
            self._keep_state_in(optimizer, args)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of an output of the model: of mixed labels in training, the criterion's own in eval mode.

        Args:
            output: What the model returned.
            target: Class indices, or soft targets.

        Raises:
            FeatmixError: If the output is not the model's, or epochs matter and nobody has said which it is.
        """
        if self.mixer is None:
            return self.criterion(output, target)
        if self._off_epoch and not self._told_epoch:
            raise FeatmixError(
                "FeatMix",
                expected="set_epoch(epoch) at the beginning of each epoch, to stop at --mixup-off-epoch",
                got=f"none, and mixup_off_epoch={self._off_epoch}",
            )
        return self._loss(output, target)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch when it begins: schedules depend on it, and ``--mixup-off-epoch`` stops the mixing.

        Args:
            epoch: Counted from 0.
        """
        self._told_epoch = True
        self.mixup_enabled = not self._off_epoch or epoch < self._off_epoch
        if self.mixer is not None and self._epochs:
            self.mixer.progress = min(epoch / self._epochs, 1.0)

    def _given(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return further arguments of the draw: none of the rows, once mixing is off, so nothing is compiled again."""
        if self.mixup_enabled:
            return {}
        batch = next(value for value in arguments.values() if isinstance(value, Tensor))
        return {"rows": torch.zeros(len(batch), dtype=torch.bool)}

    # -- checkpoints -----------------------------------------------------------------------------------------------

    def _keep_state_in(self, optimizer: torch.optim.Optimizer, args: argparse.Namespace) -> None:
        base = getattr(optimizer, "_base_optimizer", optimizer)  # of timm's Lookahead, which passes states through
        if not isinstance(base, torch.optim.Optimizer):
            fix = "Leave it out, and keep FeatMix.mixer.state_dict() yourself."
            raise FeatmixError("FeatMix", "optimizer", expected="a torch optimizer", got=type(base).__name__, fix=fix)
        path = getattr(args, "resume", None)
        if path and not getattr(args, "no_resume_opt", False):
            if Path(path).is_file():
                self._load(_optimizer_state(Path(path)), str(path))
            elif base.state:
                raise FeatmixError(
                    "FeatMix",
                    "args",
                    expected="the path of the checkpoint that the optimizer has loaded",
                    got=f"resume={path!r}, which is no file",
                    fix="Make FeatMix before the script resumes: the mixer's state comes with the optimizer's.",
                )
        base.register_state_dict_post_hook(self._saved)
        base.register_load_state_dict_pre_hook(lambda _, state: self._load(state, "the optimizer's state"))

    def _saved(self, _: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        """Add the mixer's state; this rank's, for scripts save on one rank alone."""
        return state if self.mixer is None else {**state, KEY: self.mixer.state_dict(gather=False)}

    def _load(self, state: Mapping[str, Any], source: str) -> None:
        if self.mixer is None:
            return
        if KEY in state:
            self.mixer.load_state_dict(state[KEY])
            return
        fix = "Nothing is to be done where the run so far was without featmix."
        warn("FeatMix", expected=f"the state of a mixer in {source}", got="none: draws begin anew", fix=fix)


def _checked(text: str) -> str:
    """Return a strategy in words as it is."""
    try:
        parse(text, subject="--featmix", argument="SPEC")
    except FeatmixError as error:
        hint = " A site comes first: moex@stem:lam=0.9." if "@" in text.partition(":")[2] else ""
        raise argparse.ArgumentTypeError(f"{error}{hint}") from error
    return text


def _tree(args: argparse.Namespace) -> Tree:
    """Return the strategies that were asked for, all of them where there are several."""
    asked: str | Sequence[str] = args.featmix
    specs = [parse(text, subject="FeatMix", argument="args") for text in ([asked] if isinstance(asked, str) else asked)]
    members = [at_site(spec.site or getattr(args, "featmix_site", None) or "stem", spec.strategy()) for spec in specs]
    return members[0] if len(members) == 1 else Compose(members)


def _check_memories(tree: Tree) -> None:
    remembering: list[At] = [leaf for leaf in tree.leaves() if leaf.strategy.remembers]
    if remembering:
        raise FeatmixError(
            "FeatMix",
            "args",
            expected="strategies without memory=, which needs the labels when it draws",
            got=f"{type(remembering[0].strategy).__name__} at {remembering[0].place} with a memory",
            fix="The model gets images alone: call mixer.draw(images, target=labels) in a loop of your own.",
        )


def _example(args: argparse.Namespace, model: nn.Module) -> Tensor:
    """Return two black images of the size that the script trains with."""
    data = imported("timm.data", subject="FeatMix", install=INSTALL)
    size = data.resolve_data_config(vars(args), model=unwrap(model))["input_size"]
    first = next(model.parameters())
    return torch.zeros(2, *size, device=first.device, dtype=first.dtype)


def _optimizer_state(path: Path) -> Mapping[str, Any]:
    """Return the optimizer's state in one of timm's checkpoints, without reading the rest."""
    with torch.serialization.safe_globals([argparse.Namespace]):  # of the script's arguments
        checkpoint: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    state: Mapping[str, Any] = checkpoint.get("optimizer", {}) if isinstance(checkpoint, Mapping) else {}
    return state
