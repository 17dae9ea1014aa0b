"""The whole experiment: checks everything, makes the missing runs, and writes the report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

import featmix as fm
from featmix.checks import whole
from featmix.compare.contenders import BASELINE, DEFAULT_STRATEGIES, Contender, chosen_baseline, contenders
from featmix.compare.escaping import for_terminal, shown_labels
from featmix.compare.executors import LOCAL, Executor, Place, chosen_place, make_executor
from featmix.compare.feeding import Feed, check_images
from featmix.compare.given import given
from featmix.compare.identity import record_of
from featmix.compare.intervals import SEEDS, Interval
from featmix.compare.kept import KEPT, is_kept, throw_away, write_about
from featmix.compare.loggers import LOGS, checked_logger
from featmix.compare.models import SMALL, is_nameless
from featmix.compare.network import site_of_another
from featmix.compare.network_check import checked_network
from featmix.compare.output import PAIRS, RUNS, SUMMARY_FIGURE, SUMMARY_TABLE, SUMMARY_TEXT, OutputFolder, done
from featmix.compare.pipelines import PipelineContender, read_pipelines
from featmix.compare.report import Circumstances, print_results, write_report
from featmix.compare.resources import available_memory, bearable_jobs, cores
from featmix.compare.results import Row, read_rows
from featmix.compare.seeds import Seeds, chosen_seeds
from featmix.compare.settings import Settings, resolve
from featmix.compare.sources import Images, Source
from featmix.compare.statistics import Summary, summarize
from featmix.compare.sweep_report import print_sweeps, write_sweeps
from featmix.compare.sweeps import expanded
from featmix.compare.telling import tell_of_data, tell_of_sites
from featmix.compare.training import Run, attach, make_network, pipeline_of, with_seed
from featmix.errors import FeatmixError
from featmix.support.progress import progress

DEFAULT_OUT, QUICK_OUT = Path("compare-out"), Path("compare-out/quick")
DEFAULT_SEEDS, QUICK_SEEDS = 6, 2


@dataclass(frozen=True)
class Comparison:
    """The results of `compare`.

    Args:
        rows: All runs in the output folder, in the order of the grid.
        summaries: One per strategy, the baseline first.
        out: The output folder.
        failures: Number of requested runs that failed.
        seconds: Wall-clock time of the call.
    """

    rows: tuple[Row, ...]
    summaries: tuple[Summary, ...]
    out: Path
    failures: int
    seconds: float


def compare(
    strategies: Sequence[str] = (),
    *,
    pipelines: Sequence[Path | str] = (),
    site: str | None = None,
    baseline: str = BASELINE,
    interval: str = SEEDS,
    seeds: Seeds | None = None,
    jobs: int | None = None,
    executor: str = LOCAL,
    resources: str = "",
    out: Path | str | None = None,
    quick: bool = False,
    fresh: bool = False,
    keep: bool = False,
    logger: str = "",
    console: Console | None = None,
    **settings: Any,
) -> Comparison:
    """Compare strategies in domain and under domain shift, paired with training without augmentation.

    For each seed and each held-out domain, a network (a small residual one unless ``model`` is given) is trained once per
    strategy. Finished runs are kept in the output folder; after an interruption, the same call continues with the rest.

    Args:
        strategies: ``name[@site][:setting=value,...]``, several with ``+`` between them, presets, or sweeps such as
            ``moex:lam=0.5..0.9/5`` (see `featmix.compare.sweeps.expanded`); by default `DEFAULT_STRATEGIES`, if there are
            no pipelines either. ``none`` is added if missing.
        pipelines: Files that `featmix.save` wrote; each is compared like a strategy, with a copy in the output folder.
        site: Site of strategies that name none, or several sites separated by commas, each used in turn; None uses the usual
            site of each strategy.
        baseline: The strategy with which all others are compared, by its name in tables.
        interval: Kind of confidence interval: ``seeds``, ``satterthwaite`` or ``nadeau-bengio``; see
            :class:`~featmix.compare.intervals.Interval`. Runs do not depend on it.
        seeds: Number of seeds, from 0 on, or which seeds: ``"10-19"``, or numbers; 6 seeds by default.
        jobs: Number of processes; None uses one per core, or one on a device that is no CPU.
        executor: ``local``; ``ray`` for Ray on this machine's cores; ``ray:ADDRESS`` for a cluster.
        resources: Resources of each run in Ray, such as ``"cpu=2,gpu=0.5,memory=2G"``; a core, or a GPU, by default.
        out: Output folder.
        quick: One epoch on few images, to test that everything works; the results mean nothing.
        fresh: Delete previous results in the output folder first.
        keep: Keep the network, the predictions and the learning curve of each run, in ``kept`` in the output folder; see
            `featmix.compare.kept`. Finished runs without them are made again.
        logger: ``tensorboard``, ``wandb`` or ``mlflow``: logs the training loss of each epoch and the accuracies, in
            ``logs`` in the output folder. Finished runs are not logged again.
        console: Console for the report; None writes to standard output.
        settings: Settings of all runs, such as ``data="fashion-mnist"`` or ``epochs=10``: fields of
            :class:`~featmix.compare.settings.Settings`, by name. Their defaults depend on the data set. ``data`` may also
            be a data set as in torch, a pair of them for training and testing, or several by the names of domains;
            ``model`` a function that takes the number of classes and returns a new network. ``amp=True`` is mixed precision.

    Returns:
        All rows and summaries, which are also in the output folder.

    Raises:
        FeatmixError: for all errors that can be found before the first run, and if the output folder has runs with other
            settings. A run that fails later is reported in its row.

    Note:
        Worker processes import the calling script, so call it under ``if __name__ == "__main__":``.
    """
    begun = time.monotonic()
    console = console or Console()
    if isinstance(strategies, str) or not isinstance(strategies, Sequence):
        raise FeatmixError("compare", "strategies", expected="a list of names", got=repr(strategies), fix="['moex', 'mixup']")
    handed = given(settings)
    shared = resolve(handed.settings, quick=quick)
    any_site = shared.model != SMALL
    piped = read_pipelines(pipelines)
    written, sweeps = expanded(strategies or (() if piped else DEFAULT_STRATEGIES), site, any_site=any_site)
    specs = [*contenders(written, None if site is not None and "," in site else site, any_site=any_site), *piped]
    baseline = chosen_baseline(baseline, specs)
    numbers = chosen_seeds(seeds if seeds is not None else QUICK_SEEDS if quick else DEFAULT_SEEDS)
    place = chosen_place(executor)
    checked_logger(logger)
    jobs = _jobs(jobs, shared, place, console)
    folder = OutputFolder(Path(out) if out is not None else QUICK_OUT if quick else DEFAULT_OUT)
    with make_executor(place, jobs, shared, resources, handed.factory) as pool, folder:
        if fresh or not folder.has_runs:
            pool.start(limit=len(specs) * len(numbers))  # the workers import while the data is read here
        source = handed.source(shared)
        if place.here:
            jobs = _bearable(jobs, console, source.size_in_bytes)
            pool.shrink(jobs)
        tell_of_data(console, source)
        sure = Interval(interval, source.test_share)
        check_that_batches_fill(shared, source)
        network = checked_network(shared, source, handed.factory) if any_site or shared.weights else None
        for spec in specs:
            rehearse(spec, shared, source, network)
        tell_of_sites(console, specs, shared, network)
        kept = folder.path.resolve() / KEPT if keep else None
        log = f"{logger}:{folder.path.resolve() / LOGS}" if logger else ""
        grid = [replace(run, log=log) for run in make_grid(specs, numbers, source, kept)]
        record = {**record_of(shared, source, network, handed.factory), "test_share": source.test_share}
        before = folder.begin(record, fresh=fresh)
        if len(folder.machines) > 1:
            note = (
                f"Runs in {folder.path} come from {len(folder.machines)} machines: accuracies may differ in rounding, times do."
            )
            console.print(note, style="yellow", highlight=False)
        if fresh:
            throw_away(folder.path / KEPT)
        if kept is not None:
            write_about(kept, source)
        for spec in piped:
            fm.save(spec.pipeline(), folder.path / spec.file)
        try:
            rows, made = _make_missing(grid, before, folder, pool, shared, source, console)
        except KeyboardInterrupt:
            _say_how_to_go_on(console, grid, folder, fresh)
            raise
        folder.add_machines(pool.machines)
        summaries = summarize(rows, baseline, sure)
        calls = folder.close_call({"runs": made, "seconds": round(time.monotonic() - begun, 1), "jobs": jobs})
        about = Circumstances(record, rows, calls, folder.machines, baseline, sure)
        write_report(folder.path, summaries, about)
        sweeping = write_sweeps(folder.path, sweeps, summaries)
    wanted = {run.key for run in grid}
    failures = sum(bool(row.error) and row.key in wanted for row in rows)
    found = Comparison(tuple(rows), tuple(summaries), folder.path, failures, time.monotonic() - begun)
    print_results(console, found.summaries, about)
    print_sweeps(console, sweeps, summaries, baseline)
    _tell(console, found, made, [*sweeping, *([KEPT] if keep else []), *([LOGS] if logger else [])], quick=quick)
    return found


def make_grid(specs: Sequence[Contender], seeds: Sequence[int], source: Source, keep: Path | None = None) -> list[Run]:
    """Return all runs in the order in which they are made: each cell (seed, held-out domain) is finished before the next."""
    cells = [(seed, held_out) for seed in seeds for held_out in source.held_out_choices]
    return [Run(spec, *cell, keep=str(keep or "")) for cell in cells for spec in specs]


def check_that_batches_fill(settings: Settings, source: Source) -> None:
    """Check before the first run that training images fill a batch for each held-out domain.

    Raises:
        FeatmixError: If they do not.
    """
    for held_out in source.held_out_choices:
        count = len(source.trial(0, held_out, settings.limit).train)
        if count < settings.batch_size:
            without = f" without {held_out}" if held_out else ""
            got = f"{settings.batch_size} with {count} training images{without}"
            fix = f"--batch-size {count} at most, or more images (--limit)."
            raise FeatmixError("compare", "batch_size", expected="at most the number of training images", got=got, fix=fix)


def rehearse(spec: Contender, settings: Settings, source: Source, network: nn.Module | None = None) -> None:
    """Run a training forward on noise at each site, to refuse settings that do not fit the network before the first run.

    Args:
        spec: The strategy.
        settings: Settings of all runs.
        source: The data.
        network: The network, if it exists already.

    Raises:
        FeatmixError: If a strategy refuses its site, or a pipeline the images. Other errors are reported by the runs.
    """
    if spec.name == BASELINE:
        return
    with torch.random.fork_rng(devices=[]):
        if network is None:
            network = make_network(settings, len(source.classes), seed=0, size=source.image_size)
        network.train()
        pixels = torch.randint(256, (4, 3, *source.image_size), dtype=torch.uint8)
        noise = Images(pixels, torch.arange(4) % len(source.classes), torch.arange(4) % len(source.domains))
        pipeline = with_seed(pipeline_of(Run(spec, 0, ""), network, settings), 0)
        feed = Feed(pipeline, noise, torch.device("cpu"))
        check_images(pipeline, feed)
        try:
            for leaf in pipeline.tree.leaves() if pipeline.tree else ():
                leaf.strategy.p = 1.0  # so that it acts here however seldom it is to act
                with attach(fm.Pipeline(batch=pipeline.batch, mix=leaf, seed=0), network, feed) as mixer:
                    images = feed(torch.arange(4), mixer)
                    mixer.draw(images, target=noise.labels, domain=noise.domains)
                    network(images)
        except FeatmixError as error:
            if not isinstance(spec, PipelineContender) or settings.model != SMALL:
                raise
            raise site_of_another(
                error, "compare", f"{spec.settings.rpartition('-')[0]!r}", " Or --model names yours."
            ) from None
        except Exception:
            return


def _jobs(jobs: int | None, settings: Settings, place: Place, console: Console) -> int:
    """Return the number of processes, with a message if it is smaller than requested."""
    if is_nameless(settings.model) and place.kind == LOCAL:
        if jobs not in (None, 1) or settings.devices > 1:
            fix = "Define the function that makes it at the top of a module or script, by a name; or leave jobs at 1."
            got = f"{jobs} for a model that only this process has" if jobs is not None else f"devices = {settings.devices}"
            raise FeatmixError("compare", "jobs", expected="1", got=got, fix=fix)
        console.print("Only this process has the model: all runs are made in it, one after the other.", style="yellow")
        return 1
    wanted = whole("compare", "jobs", usual_jobs(settings) if jobs is None else jobs, least=1)
    return _bearable(wanted, console) if place.here else wanted


def _bearable(wanted: int, console: Console, data: int = 0) -> int:
    most = bearable_jobs(wanted, wanted, available_memory(), data)
    if most < wanted:
        console.print(f"{most} processes in place of {wanted}: the memory that is free bears no more.", style="yellow")
    return most


def usual_jobs(settings: Settings) -> int:
    """Return the default number of processes: one per core, or one if the device is no CPU."""
    return max(1, cores() // settings.devices) if settings.device == "cpu" else 1


def _make_missing(
    grid: Sequence[Run],
    before: Sequence[Row],
    folder: OutputFolder,
    pool: Executor,
    settings: Settings,
    source: Source,
    console: Console,
) -> tuple[list[Row], int]:
    """Make the missing runs; return all rows, those of the grid first, and the number of runs made."""
    finished = done(before)
    missing = [run for run in grid if run.key not in finished or (run.keep and not is_kept(Path(run.keep), run.key))]
    again = {run.key for run in missing}
    kept = [row for row in before if row.key not in again]
    folder.keep(kept)
    if before and missing:
        console.print(f"{len(grid) - len(missing)} of {len(grid)} runs are in {folder.path} already; going on.")
    made = []
    kept_in = next((run.keep for run in missing if run.keep), "")
    names = shown_labels(run.row().label for run in grid)
    with progress(console, len(grid), "runs", already=len(grid) - len(missing)) as advance:
        for row in pool.make(missing, settings, source):
            folder.append(row)
            made.append(row)
            _check_kept(row, kept_in)
            without = f", without {row.held_out}" if row.held_out else ""
            advance(for_terminal(f"{names.get(row.label, row.label)}, seed {row.seed}{without}"))
    place = {run.key: number for number, run in enumerate(grid)}
    rows = sorted([*kept, *made], key=lambda row: place.get(row.key, len(grid)))
    folder.keep(rows)
    return rows, len(made)


def _check_kept(row: Row, folder: str) -> None:
    """Check that what was to be kept of a run has come to this machine's disk: another node may have written to its own."""
    if folder and not row.error and not is_kept(Path(folder), row.key):
        fix = "Name a folder with --out that all nodes share, or leave --keep out."
        raise FeatmixError("compare", "keep", expected="a folder that all nodes share", got=f"nothing new in {folder}", fix=fix)


def _say_how_to_go_on(console: Console, grid: Sequence[Run], folder: OutputFolder, fresh: bool) -> None:
    finished = done(read_rows(folder.path / RUNS))
    count = sum(run.key in finished for run in grid)
    command = "The same command without --fresh" if fresh else "The same command"
    console.print(
        f"Interrupted: {count} of {len(grid)} runs are kept in {folder.path / RUNS}. {command} goes on from there.",
        style="yellow",
        highlight=False,
    )


def _tell(console: Console, found: Comparison, made: int, more: Sequence[str], *, quick: bool) -> None:
    if quick:
        console.print("A quick run shows that everything works: its figures mean nothing.", style="yellow", highlight=False)
    if found.failures:
        first = next(row for row in found.rows if row.error)
        console.print(
            f"{found.failures} run(s) failed and are left out, the first with: {for_terminal(first.error)}. "
            "The same command makes failed runs again.",
            style="red",
            markup=False,
        )
    names = ", ".join((SUMMARY_TEXT, SUMMARY_TABLE, PAIRS, SUMMARY_FIGURE, *more, RUNS))
    console.print(f"{made} run(s) in {found.seconds:.0f} s. Written to {found.out}: {names}", markup=False)
