"""The whole experiment: trains networks, probes their layers, and writes the results."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from featmix.compare.given import Given, given
from featmix.compare.identity import record_of
from featmix.compare.intervals import estimate
from featmix.compare.measuring import size_of
from featmix.compare.models import SMALL
from featmix.compare.network import SITES
from featmix.compare.network_check import checked_network
from featmix.compare.places import Places
from featmix.compare.repeatable import prepared_torch
from featmix.compare.report import print_table
from featmix.compare.seeds import Seeds, chosen_seeds
from featmix.compare.settings import Settings, resolve
from featmix.compare.sources import Images, Source
from featmix.compare.telling import tell_of_data
from featmix.compare.training import make_network, train_plainly
from featmix.errors import FeatmixError, nearest
from featmix.mixer.tree import INPUT
from featmix.normalizers.base import Normalizer
from featmix.normalizers.kinds import normalizer
from featmix.probe.classifier import probe_accuracy
from featmix.probe.drawing import draw_findings, draw_maps
from featmix.probe.findings import Finding, Probed
from featmix.probe.parts import ALL, MOMENTS, NORMALIZED, PARTS, Features, features_at
from featmix.probe.table import PROBES, finding_table, read_probes, to_csv, to_markdown
from featmix.support.files import write
from featmix.support.progress import progress

NETWORKS = ("trained", "untrained")
DEFAULT_NORMS = ("pono", "in", "ln", "gn4", "bn")
DEFAULT_SITES = ("stem", "layer1", "layer2")
DEFAULT_SEEDS, QUICK_SEEDS = 6, 2
DEFAULT_OUT = Path("probe-out")
_SETTINGS, _REPORT, _FIGURE, _MAPS = "settings.json", "probe.md", "probe.png", "moments.png"


def probe(
    *,
    sites: Sequence[str] = DEFAULT_SITES,
    norms: Sequence[str] = DEFAULT_NORMS,
    domain: str | None = None,
    seeds: Seeds | None = None,
    out: Path | str | None = None,
    quick: bool = False,
    fresh: bool = False,
    **settings: Any,
) -> list[Finding]:
    """Measure how well classes are predicted from the moments of a layer, from its normalized features, and from all features.

    For each seed, the small network of ``featmix compare``, or another ``model``, is trained on images of one domain, and
    probed before and after training: by logistic regression on a layer's output for training images, tested on test images.
    After an interruption, the same call continues.

    Args:
        sites: Layers to probe, or ``input``.
        norms: Normalizers.
        domain: The domain whose images are used; the first of the data set by default, ``all`` for all.
        seeds: Number of networks, or which seeds, for splits, initial weights and batch orders; 6 by default.
        out: The output folder, ``probe-out`` by default.
        quick: Two seeds, one epoch, few images, to test that it works.
        fresh: Delete previous results in the folder first.
        settings: Fields of :class:`~featmix.compare.settings.Settings`; ``data`` and ``model`` also as
            `featmix.compare.experiment.compare` takes them.

    Returns:
        One finding for each network, site and normalizer.

    Raises:
        FeatmixError: If an argument is invalid; before the first network is trained.
    """
    console, begun = Console(), time.monotonic()
    numbers = chosen_seeds((QUICK_SEEDS if quick else DEFAULT_SEEDS) if seeds is None else seeds, "probe")
    handed = given(settings, "probe")
    shared = resolve(handed.settings, quick=quick)
    if shared.devices > 1:
        raise FeatmixError("probe", "devices", expected="1", got=shared.devices)
    made = {name: normalizer(name, eps=1e-5) for name in norms}
    for site in sites:
        if site not in SITES and shared.model == SMALL:
            raise FeatmixError("probe", "site", expected="a site of the network", got=repr(site), fix=nearest(site, SITES))
    source = handed.source(shared)
    tell_of_data(console, source)
    chosen = _domain(source, domain)
    own = checked_network(shared, source, handed.factory) if shared.model != SMALL or shared.weights else None
    modules = _modules(sites, own if shared.model != SMALL else None, source)
    folder = Path(out) if out is not None else DEFAULT_OUT / ("quick" if quick else "")
    record = {**record_of(shared, source, own, handed.factory), "domain": chosen}
    done = _begin(folder, record, fresh)
    wanted = [(seed, network) for seed in numbers for network in NETWORKS]
    missing = [pair for pair in wanted if not _complete(done, pair, sites, made)]
    with prepared_torch():
        if missing:
            with progress(console, len(wanted), "networks", already=len(wanted) - len(missing)) as advance:
                for seed, kind in missing:
                    network, train, test = _network(kind, seed, source, chosen, shared, handed)
                    done += _probe(network, train, test, seed, kind, modules, made, done)
                    write(folder / PROBES, to_csv(done))
                    advance(f"{kind}, seed {seed}")
        network, _, test = _network(NETWORKS[0], numbers[0], source, chosen, shared, handed)
        hidden = [module for module in modules.values() if module != INPUT]
        shown = hidden[0] if hidden else DEFAULT_SITES[0] if shared.model == SMALL else INPUT
    findings = list(_findings(done, sites, made, numbers))
    write(folder / _REPORT, to_markdown(findings, record, time.monotonic() - begun))
    draw_findings(folder / _FIGURE, findings, f"{shared.data}, {chosen or 'all domains'}")
    draw_maps(folder / _MAPS, source.classes, network=network, images=test, site=shown)
    _tell(console, findings, folder, quick)
    return findings


def _domain(source: Source, domain: str | None) -> str:
    if domain == "all":
        return ""
    if domain is None:
        return source.domains[0]
    if domain not in source.domains:
        fix = nearest(domain, source.domains)
        raise FeatmixError("probe", "domain", expected=f"all, or one of {', '.join(source.domains)}", got=repr(domain), fix=fix)
    return domain


def _begin(folder: Path, record: Mapping[str, object], fresh: bool) -> list[Probed]:
    """Return the results that are in the folder already, if their settings are the same."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FeatmixError("probe", "out", expected="a folder to write to", got=str(error)) from error
    settings = json.dumps(record, indent=2) + "\n"
    place = folder / _SETTINGS
    if fresh or not place.exists():
        (folder / PROBES).unlink(missing_ok=True)
    elif place.read_text() != settings:
        fix = "Name another folder with --out, or throw this one's away with --fresh."
        raise FeatmixError("probe", "out", expected="a folder of the same settings", got=f"others in {place}", fix=fix)
    write(place, settings)
    return read_probes(folder / PROBES)


def _complete(done: Sequence[Probed], pair: tuple[int, str], sites: Sequence[str], norms: Mapping[str, Normalizer]) -> bool:
    here = {(one.site, one.norm, one.part) for one in done if (one.seed, one.network) == pair}
    return {(site, norm, part) for site in sites for norm in norms for part in PARTS} <= here


def _modules(sites: Sequence[str], network: nn.Module | None, source: Source) -> dict[str, str]:
    """Return the module of each site, after a check that normalizers can be applied to its features."""
    if network is None:
        return {site: site for site in sites}
    places, found = Places(network, "probe"), {}
    noise = torch.randint(256, (2, 3, *source.image_size), dtype=torch.uint8)
    for site in sites:
        found[site] = places.find(site)
        shape = tuple(features_at(network, found[site], noise, torch.device("cpu")).shape)
        if len(shape) != 4 or shape[0] != len(noise):
            raise FeatmixError("probe", "site", expected="a layer that returns (B, C, H, W)", got=f"{shape} at {site}")
    return found


def _network(
    kind: str, seed: int, source: Source, domain: str, settings: Settings, handed: Given
) -> tuple[nn.Module, Images, Images]:
    trial = source.trial(seed, "", settings.limit)
    train, test = trial.train, trial.seen
    if domain:
        number = source.domains.index(domain)
        train, test = train.where(train.domains == number), test.where(test.domains == number)
    if len(train) < settings.batch_size:
        got = f"{settings.batch_size} with {len(train)} training images"
        raise FeatmixError("probe", "batch_size", expected="at most the number of training images", got=got)
    classes = len(source.classes)
    if kind == NETWORKS[0]:
        return train_plainly(train, settings, classes, seed, handed.factory), train, test
    made = make_network(settings, classes, seed, size=size_of(train), factory=handed.factory)
    return made.to(settings.device), train, test


def _probe(
    network: nn.Module,
    train: Images,
    test: Images,
    seed: int,
    kind: str,
    modules: Mapping[str, str],
    norms: Mapping[str, Normalizer],
    done: Sequence[Probed],
) -> Iterator[Probed]:
    device = next(network.parameters()).device
    labels, test_labels = train.labels.numpy(), test.labels.numpy()
    chance = float(torch.bincount(test.labels).max()) / len(test)
    known = {one.key for one in done}
    for site, module in modules.items():
        pixels = (train.pixels, test.pixels)
        features = Features(*(features_at(network, module, some, device) for some in pixels))
        whole = probe_accuracy(features.whole()[0], labels, features.whole()[1], test_labels)
        for name, norm in norms.items():
            found = {ALL: whole}
            for part, table, test_table in features.split(norm):
                found[part] = probe_accuracy(table, labels, test_table, test_labels)
            rows = [Probed(seed, kind, site, name, part, found[part], chance) for part in PARTS]
            yield from (row for row in rows if row.key not in known)


def findings_of(rows: Sequence[Probed]) -> list[Finding]:
    """Return the results of probes from a file, in the order in which sites and normalizers first appear."""
    sites, norms, seeds = (list(dict.fromkeys(getattr(one, name) for one in rows)) for name in ("site", "norm", "seed"))
    return list(_findings(rows, sites, norms, seeds))


def _findings(done: Sequence[Probed], sites: Sequence[str], norms: Iterable[str], seeds: Sequence[int]) -> Iterator[Finding]:
    for kind in NETWORKS:
        for site in sites:
            for name in norms:
                here = [one for one in done if (one.network, one.site, one.norm) == (kind, site, name) and one.seed in seeds]
                parts = {part: estimate([one.accuracy for one in here if one.part == part]) for part in PARTS}
                chance = sum(one.chance for one in here) / len(here)
                yield Finding(kind, site, name, parts[MOMENTS], parts[NORMALIZED], parts[ALL], chance)


def _tell(console: Console, findings: Sequence[Finding], folder: Path, quick: bool) -> None:
    print_table(console, "Accuracy of linear probes in %, with 95 % interval over seeds", *finding_table(findings))
    if quick:
        console.print("A quick run shows that everything works: its figures mean nothing.", style="yellow")
    written = ", ".join((PROBES, _REPORT, _FIGURE, _MAPS))
    console.print(f"Written to {folder}: {written}", markup=False, highlight=False, soft_wrap=True)
