"""One run: train the small network under one strategy, and measure it in and out of its training domains.

Within a cell (seed, held-out domain), everything but the strategy is the same: the split, the initial weights and the order of
the batches come from separate generators, from which no strategy draws. Differences to the baseline are therefore paired.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - torch's own usage
from torch import nn

import featmix as fm
from featmix.compare.contenders import BASELINE, Contender
from featmix.compare.feeding import Feed
from featmix.compare.kept import Keeper
from featmix.compare.loggers import begin_log, end_log, logger_of
from featmix.compare.measuring import Measured, measure, size_of
from featmix.compare.models import SMALL, Factory, Size, maker_of
from featmix.compare.places import Places, placed
from featmix.compare.repeatable import prepare_torch
from featmix.compare.results import Key, Row
from featmix.compare.settings import Settings
from featmix.compare.sources import Images, Source, Trial
from featmix.compare.weights import load_weights
from featmix.errors import FeatmixError
from featmix.pipeline import PipelineMixer
from featmix.support.extras import imported

if TYPE_CHECKING:  # Lightning takes seconds to import, which only the workers need to spend
    from lightning_fabric import Fabric

# On import, because the ranks of data-parallel training import this before Lightning announces each of them.
for _chatty in ("lightning_fabric.utilities.distributed", "lightning_utilities.core.rank_zero"):
    logging.getLogger(_chatty).setLevel(logging.WARNING)

WEIGHT_DECAY = 0.01
WARM_UP = 0.2  # share of all steps in which the learning rate rises

_ORDER, _MIXING, _NOISE = 21, 22, 23  # keep the uses of a seed apart


@dataclass(frozen=True)
class Run:
    """A cell of the grid.

    Args:
        spec: The strategy.
        seed: Seed of split, weights, batches and decisions.
        held_out: The held-out domain; empty if there is only one domain.
        keep: The folder for the network and its predictions; empty keeps only the row.
        log: A logger's kind and folder, separated by a colon, see `featmix.compare.loggers`; empty for none.
    """

    spec: Contender
    seed: int
    held_out: str
    keep: str = field(default="", compare=False)
    log: str = field(default="", compare=False)

    @property
    def key(self) -> Key:
        """The key that no other run of the experiment has."""
        return self.row().key

    def row(self, **measured: Any) -> Row:
        """Return the row of this run."""
        return Row(self.spec.name, self.spec.settings, self.spec.site, self.seed, self.held_out, **measured)


def train(run: Run, settings: Settings, source: Source, factory: Factory | None = None) -> Row:
    """Make one run.

    Args:
        run: The run.
        settings: Settings of all runs.
        source: The data set.
        factory: Makes the network, if its name in the settings cannot be found.

    Returns:
        A row without error.

    Raises:
        FeatmixError: If the data does not fill one batch, or the loss is not finite.
    """
    trial = source.trial(run.seed, run.held_out, settings.limit)
    if len(trial.train) < settings.batch_size:
        got = f"{settings.batch_size} with {len(trial.train)} training images"
        raise FeatmixError("compare", "batch_size", expected="at most the number of training images", got=got)
    fabric = make_fabric(settings, logger_of(run.log, run.key))
    if settings.devices > 1:
        job = partial(_train_ranks, run=run, settings=settings, trial=trial, num_classes=len(source.classes))
        return run.row(**fabric.launch(job))
    return run.row(**_train(fabric, run, settings, trial, len(source.classes), factory))


def train_plainly(images: Images, settings: Settings, num_classes: int, seed: int, factory: Factory | None = None) -> nn.Module:
    """Return the network after training without mixing.

    Args:
        images: The training images.
        settings: As for :func:`train`; on one device.
        num_classes: Number of classes.
        seed: Seed of initial weights and batch order.
        factory: See :func:`train`.

    Raises:
        FeatmixError: If the loss is not finite.
    """
    fabric = make_fabric(settings)
    network = make_network(settings, num_classes, seed, size=size_of(images), factory=factory)
    model, optimizer = _set_up(fabric, network, settings, seed)
    _fit(fabric, model, optimizer, None, Feed(fm.Pipeline(), images, fabric.device), settings, seed)
    return network


def make_fabric(settings: Settings, loggers: Sequence[Any] = ()) -> Fabric:
    """Return a Fabric with device, precision, data parallelism and loggers."""
    kind, _, number = settings.device.partition(":")
    devices: list[int] | int = [int(number)] if number else settings.devices
    strategy = "ddp_spawn" if settings.devices > 1 else "auto"
    library = imported("lightning_fabric", subject="compare", install="featmix[compare]")
    how = {"accelerator": kind, "devices": devices, "strategy": strategy, "precision": settings.precision}
    made: Fabric = library.Fabric(**how, loggers=list(loggers))
    return made


def make_network(
    settings: Settings, num_classes: int, seed: int, *, size: Size = (32, 32), factory: Factory | None = None
) -> nn.Module:
    """Return the network with initial weights that depend only on the seed, and on the file of weights if there is one.

    Args:
        settings: Settings with the name of the network.
        num_classes: Number of logits.
        seed: Seed of its weights.
        size: Height and width of the images.
        factory: See :func:`train`.

    Raises:
        FeatmixError: If there is no such network, or the file's weights do not fit it.
    """
    make = maker_of(settings.model, factory)
    torch.manual_seed(seed)
    network = make(num_classes, size, settings.width)
    if settings.weights:
        load_weights(network, Path(settings.weights), num_classes)
    if any(one.ndim == 5 for one in network.parameters()):  # memory of volumes has no such order
        return network
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def pipeline_of(run: Run, network: nn.Module, settings: Settings) -> fm.Pipeline:
    """Return the pipeline of a run, with modules of the network as sites.

    Raises:
        FeatmixError: If the network has no such site.
    """
    pipeline = run.spec.pipeline()
    if settings.model == SMALL or pipeline.tree is None:
        return pipeline
    return placed(pipeline, Places(network), published=run.spec.published)


def with_seed(pipeline: fm.Pipeline, seed: int) -> fm.Pipeline:
    """Return the pipeline with another seed."""
    return pipeline.replace(seed=seed)


def attach(pipeline: fm.Pipeline, network: nn.Module, feed: Feed) -> PipelineMixer:
    """Attach a pipeline's ``mix`` to the network before Fabric wraps it.

    Args:
        pipeline: The pipeline.
        network: The network, not wrapped.
        feed: Returns two images, for strategies that need the shape at their site.
    """
    return pipeline.attach(network, example=feed.unit(torch.arange(2)))


def _train_ranks(fabric: Fabric, run: Run, settings: Settings, trial: Trial, num_classes: int) -> Measured:
    prepare_torch()  # each rank is a new process
    return _train(fabric, run, settings, trial, num_classes)


def _train(
    fabric: Fabric, run: Run, settings: Settings, trial: Trial, num_classes: int, factory: Factory | None = None
) -> Measured:
    network = make_network(settings, num_classes, run.seed, size=size_of(trial.train), factory=factory)
    pipeline = with_seed(pipeline_of(run, network, settings), _derive(run.seed, _MIXING))
    mixer = None
    if run.spec.name != BASELINE:
        mixer = attach(pipeline, network, Feed(pipeline, trial.train, torch.device("cpu")))
    model, optimizer = _set_up(fabric, network, settings, run.seed)
    feed = Feed(pipeline, trial.train, fabric.device)
    keeper = Keeper(network, fabric, trial, num_classes) if run.keep and fabric.is_global_zero else None
    begin_log(fabric, run.key, settings)
    seconds = _fit(fabric, model, optimizer, mixer, feed, settings, run.seed, keeper)
    if mixer is not None:
        mixer.remove()
    measured = measure(network, fabric, trial, num_classes) if fabric.is_global_zero else {}
    if keeper is not None:
        keeper.write(Path(run.keep), run.key)
    end_log(fabric, measured, settings.epochs)
    fabric.barrier()
    return {"seconds_per_step": seconds, **measured}


def _set_up(fabric: Fabric, network: nn.Module, settings: Settings, seed: int) -> tuple[Any, Any]:
    """Return the network wrapped by Fabric, and its optimizer."""
    optimizer = _optimizer(network, settings)
    model: Any = torch.compile(network) if settings.compile else network
    if settings.model != SMALL:  # which draws nothing; others have dropout
        torch.manual_seed(_derive(seed, _NOISE) + fabric.global_rank)
    found: tuple[Any, Any] = fabric.setup(model, optimizer)
    return found


def _optimizer(network: nn.Module, settings: Settings) -> torch.optim.Optimizer:
    return torch.optim.AdamW(network.parameters(), lr=settings.lr, weight_decay=WEIGHT_DECAY, fused=True)


def _fit(
    fabric: Fabric,
    model: Any,
    optimizer: Any,
    mixer: PipelineMixer | None,
    feed: Feed,
    settings: Settings,
    seed: int,
    keeper: Keeper | None = None,
) -> float:
    """Train, and return the mean seconds of a step, without the first step, which warms up, and without the keeper's time."""
    order = torch.Generator().manual_seed(_derive(seed, _ORDER))
    data = feed.images
    steps_per_epoch = len(data) // settings.batch_size
    steps = steps_per_epoch * settings.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(_bare(optimizer), lambda step: learning_rate_factor(step, steps))
    model.train()
    begun = time.perf_counter()
    for epoch in range(settings.epochs):
        total = torch.zeros((), device=fabric.device)
        batches = torch.randperm(len(data), generator=order)[: steps_per_epoch * settings.batch_size]
        for number, batch in enumerate(batches.view(steps_per_epoch, settings.batch_size)):
            own = batch[fabric.global_rank :: fabric.world_size].to(fabric.device)
            images, labels = feed(own, mixer), data.labels[own]
            optimizer.zero_grad()
            if mixer is None:
                loss = F.cross_entropy(model(images), labels)
            else:
                mixer.progress = (epoch * steps_per_epoch + number) / steps
                mix = mixer.draw(images, target=labels, domain=data.domains[own])
                loss = mix.loss(F.cross_entropy, model(images), labels)
            fabric.backward(loss)
            optimizer.step()
            schedule.step()
            total += loss.detach()
            if epoch == number == 0:
                total.item()  # waits for the device
                begun = time.perf_counter()
        mean_loss = total.item() / steps_per_epoch
        if not math.isfinite(mean_loss):
            fix = "A lower learning rate may help (--lr)."
            raise FeatmixError("compare", "loss", expected="a finite number", got=f"{mean_loss} in epoch {epoch + 1}", fix=fix)
        fabric.log("training_loss", mean_loss, step=epoch + 1)
        if keeper is not None:
            paused = time.perf_counter()
            keeper.after_epoch(epoch + 1, mean_loss)
            model.train()
            begun += time.perf_counter() - paused
    return (time.perf_counter() - begun) / max(steps - 1, 1)


def learning_rate_factor(step: int, steps: int) -> float:
    """Return the learning rate as a share of the highest one: a linear rise, under a cosine that falls to 0 at the end.

    Example:
        >>> [round(learning_rate_factor(step, 10), 2) for step in (0, 1, 5, 9)]
        [0.5, 0.98, 0.5, 0.02]
    """
    rise = min(1.0, (step + 1) / max(1, round(WARM_UP * steps)))
    return rise * 0.5 * (1 + math.cos(math.pi * step / steps))


def _derive(seed: int, use: int) -> int:
    return int(np.random.SeedSequence((seed, use)).generate_state(1)[0])


def _bare(optimizer: Any) -> torch.optim.Optimizer:
    """Return the optimizer that Fabric wrapped, since a schedule needs a true Optimizer to change its learning rate."""
    inner: torch.optim.Optimizer = getattr(optimizer, "optimizer", optimizer)
    return inner
