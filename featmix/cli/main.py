"""The `featmix` command; every subcommand is thin, and imports what it needs when it is called."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from featmix.compare.settings import AMP, AMP_HELP, Settings
from featmix.errors import FeatmixError, printable

app = typer.Typer(
    help="Feature augmentation for PyTorch: MoEx, MixStyle, Mixup and CutMix behind one interface.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Entry point of the `featmix` command."""
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        Console().print(f"featmix {version('featmix')}", highlight=False)
        raise typer.Exit


@app.callback()
def _featmix(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """The options of the command itself."""


@app.command("list")
def list_strategies(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """List the strategies: what they mix, where they work, and where they come from."""
    with _refusals_explained():
        import featmix as fm

        cards = [{"name": name, **_card(fm.strategy_class(name).tags)} for name in fm.list_strategies()]
        console = Console()
        if as_json:
            console.print_json(json.dumps(cards))
            return
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for column in ("name", "mixes labels", "where", "moments", "paper"):
            table.add_column(column, no_wrap=column == "name")
        for card in cards:
            mixes = "yes" if card["mixes_labels"] else "no"
            table.add_row(str(card["name"]), mixes, *(str(card[column] or "-") for column in ("where", "moments", "paper")))
        console.print(table)


@app.command("presets")
def presets(
    name: Annotated[str | None, typer.Argument(help="One of them, to see what it does where.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """List the presets: published settings at published places, and where they come from."""
    with _refusals_explained():
        from featmix.presets.registry import known_presets, preset

        known = known_presets().values()
        cards = {one.name: {"name": one.name, "description": one.description, "source": one.source} for one in known}
        if name is not None:
            does = repr(preset(name))
            cards = {name: {**cards[name.lower()], "does": does}}
        console = Console()
        if as_json:
            console.print_json(json.dumps(list(cards.values())))
        elif name is not None:
            for field, text in cards[name].items():
                console.print(f"{field:<12} {text}", markup=False, highlight=False, soft_wrap=True)
        else:
            table = Table(box=SIMPLE_HEAD, pad_edge=False)
            for column in ("name", "description", "source"):
                table.add_column(column, no_wrap=column == "name", overflow="fold")
            for card in cards.values():
                table.add_row(card["name"], card["description"], card["source"].removeprefix("https://github.com/"))
            console.print(table)


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Put an option for each field of the comparison's settings in the place of ``**settings``.

    Defaults are left to the comparison, which knows what suits the data.
    """
    options, kinds = [], get_type_hints(Settings)
    own = signature(command, eval_str=True)
    for one in fields(Settings):
        if one.name in own.parameters:
            continue
        option = typer.Option(None, help=one.metadata["help"], show_default=one.metadata["shown"] or False)
        options.append(Parameter(one.name, Parameter.KEYWORD_ONLY, default=option, annotation=kinds[one.name] | None))
    amp = typer.Option(None, f"--{AMP}", help=AMP_HELP, show_default=False)
    options.append(Parameter(AMP, Parameter.KEYWORD_ONLY, default=amp, annotation=bool | None))
    kept = [parameter for parameter in own.parameters.values() if parameter.kind is not Parameter.VAR_KEYWORD]
    command.__signature__ = own.replace(parameters=[*kept, *options])  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in (*kept, *options)}
    return command


@app.command()
@_with_settings
def compare(
    strategies: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names, with site and settings if you like: moex, moex:norm=in,lam=0.9, mixup@layer2:alpha=2. "
            "Default: none moex mixstyle mixup cutmix, unless there are pipelines. The baseline 'none' is always there.",
            show_default=False,
        ),
    ] = None,
    *,
    pipeline: Annotated[
        list[Path] | None,
        typer.Option(help="A file that featmix.save wrote; may be given several times.", show_default=False),
    ] = None,
    site: Annotated[
        str | None,
        typer.Option(
            help="Where strategies act that name no site: input, stem, layer1, layer2, layer3, or a module of the model."
        ),
    ] = None,
    baseline: Annotated[str, typer.Option(help="The one of them that differences are taken to, as tables call it.")] = "none",
    interval: Annotated[str, typer.Option(help="How sure means are: seeds, satterthwaite or nadeau-bengio.")] = "seeds",
    seeds: Annotated[str | None, typer.Option(help="How many, or which: 12, or 10-19.", show_default="6")] = None,
    epochs: Annotated[
        str | None,
        typer.Option(
            help="Passes over the training images. Several, as in 4,12, are shown side by side.",
            show_default="what suits the data",
        ),
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes.", show_default="one per core, one on a GPU")] = None,
    executor: Annotated[str, typer.Option(help="local; ray, on this machine's cores; or ray:ADDRESS, a cluster.")] = "local",
    resources: Annotated[
        str, typer.Option(help="What Ray gives each run: cpu=2,gpu=0.5,memory=2G.", show_default="one core")
    ] = "",
    out: Annotated[Path | None, typer.Option(help="Output folder.", show_default="compare-out")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="See that it works: one epoch, few images, two seeds.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what is in the output folder.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep each run's network, its answers and its learning curve, in OUT/kept.")
    ] = False,
    logger: Annotated[
        str, typer.Option(help="tensorboard, wandb or mlflow: follow each run in OUT/logs.", show_default="none")
    ] = "",
    **settings: Any,
) -> None:
    """Compare strategies on real images, in domain and under a change of domain.

    Trains a network, a small one where --model names no other, for every strategy, seed and held-out domain, and writes
    runs.csv, summary.csv, pairs.csv, summary.md and summary.png. Interrupted, the same command goes on where it was.
    """
    with _refusals_explained():
        from featmix.compare import compare as run_comparison
        from featmix.compare import compare_lengths
        from featmix.compare.lengths import chosen_lengths

        lengths = None if epochs is None else chosen_lengths(epochs)
        arguments: dict[str, Any] = dict(
            pipelines=pipeline or (), site=site, baseline=baseline, interval=interval, seeds=seeds, jobs=jobs,
            executor=executor, resources=resources, out=out, quick=quick, fresh=fresh, keep=keep, logger=logger, **settings,
        )  # fmt: skip
        if lengths is not None and len(lengths) > 1:
            failures = sum(one.failures for one in compare_lengths(strategies or (), epochs=lengths, **arguments).values())
        else:
            failures = run_comparison(strategies or (), epochs=lengths and lengths[0], **arguments).failures
        if failures:
            raise typer.Exit(1)


@app.command()
def merge(
    folders: Annotated[list[Path], typer.Argument(help="Folders that featmix compare wrote.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The folder to write to, without runs.", show_default=False)],
    baseline: Annotated[str, typer.Option(help="The strategy that differences are taken to, as tables call it.")] = "none",
    interval: Annotated[str, typer.Option(help="How sure means are: seeds, satterthwaite or nadeau-bengio.")] = "seeds",
) -> None:
    """Join the runs of several machines, made with the same settings and versions, and write the report of all."""
    with _refusals_explained():
        from featmix.compare.merging import merge as join

        join(folders, out, baseline=baseline, interval=interval)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A folder that featmix compare or merge wrote.", show_default=False)],
    out: Annotated[Path | None, typer.Option(help="The folder to write to.", show_default="that of the runs")] = None,
    baseline: Annotated[str, typer.Option(help="The strategy that differences are taken to, as tables call it.")] = "none",
    interval: Annotated[str, typer.Option(help="How sure means are: seeds, satterthwaite or nadeau-bengio.")] = "seeds",
) -> None:
    """Write one HTML page of a comparison that needs no other file, with the same as JSON and as LaTeX beside it."""
    with _refusals_explained():
        from featmix.report import report as write_page

        write_page(folder, out=out, baseline=baseline, interval=interval)


@app.command()
@_with_settings
def probe(
    *,
    site: Annotated[
        list[str] | None,
        typer.Option(
            help="input, stem, layer1, layer2 or layer3, or a module of the model; may be given several times.",
            show_default="stem layer1 layer2",
        ),
    ] = None,
    norm: Annotated[
        list[str] | None, typer.Option(help="A normalizer; may be given several times.", show_default="pono in ln gn4 bn")
    ] = None,
    domain: Annotated[
        str | None, typer.Option(help="Whose images are used, or all.", show_default="the first of the data set")
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="How many, or which: 12, or 10-19.", show_default="6")] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder.", show_default="probe-out")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="See that it works: one epoch, few images, two seeds.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Throw away what is in the output folder.")] = False,
    **settings: Any,
) -> None:
    """Measure whether moments carry the class: linear probes on moments, on normalized features, and on all features.

    Writes probes.csv, probe.md, probe.png and moments.png. Interrupted, the same command goes on where it was.
    """
    with _refusals_explained():
        from featmix.probe import probe as run_probe
        from featmix.probe.experiment import DEFAULT_NORMS, DEFAULT_SITES

        run_probe(
            sites=site or DEFAULT_SITES, norms=norm or DEFAULT_NORMS, domain=domain, seeds=seeds, out=out, quick=quick,
            fresh=fresh, **settings,
        )  # fmt: skip


@app.command()
def check(
    subject: Annotated[
        str,
        typer.Argument(
            help="package.module:Object or file.py:Object, where Object is a strategy, a normalizer, a class of either, a "
            "function f(x, partner) or one of torch's normalization layers; or a name that featmix knows, with settings if "
            "you like: moex:norm=in, gn4.",
            show_default=False,
        ),
    ],
    laws: Annotated[str | None, typer.Option(help="Names of laws, with commas between.", show_default="all that apply")] = None,
    examples: Annotated[
        int | None,
        typer.Option(min=1, help="Inputs to try for each law and dtype.", show_default="20, or what FEATMIX_EXAMPLES says"),
    ] = None,
    thorough: Annotated[bool, typer.Option(help="200 examples for each law and dtype.")] = False,
    budget: Annotated[
        float | None, typer.Option(help="Seconds after which what is left is not tried.", show_default="none")
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(help="float64, float32, bfloat16 or float16; may be given several times.", show_default="all"),
    ] = None,
    attached: Annotated[bool, typer.Option(help="Also the laws of a strategy inside a model.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Test a strategy or a normalizer by the laws; the exit status is 1 if one does not hold."""
    with _refusals_explained():
        from featmix.cli.check import run_check

        names = None if laws is None else [name.strip() for name in laws.split(",") if name.strip()]
        if not run_check(
            subject, laws=names, examples=examples, thorough=thorough, budget=budget, dtypes=dtype, attached=attached,
            as_json=as_json,
        ):  # fmt: skip
            raise typer.Exit(1)


@app.command()
def show(
    strategy: Annotated[
        str | None,
        typer.Argument(
            help="A strategy, with site and settings if you like, as in compare: moex, moex:norm=in,lam=0.9, cutmix@layer1. "
            "Or a preset.",
            show_default=False,
        ),
    ] = None,
    pipeline: Annotated[Path | None, typer.Option(help="A file with a pipeline, tree or strategy, in place of one.")] = None,
    data: Annotated[
        str | None,
        typer.Option(help="digits, fashion-mnist, folder:PATH, torchvision:NAME or hf:PATH.", show_default="digits"),
    ] = None,
    images: Annotated[
        list[Path] | None, typer.Option(help="Your own: a picture, or a folder of them; may be given several times.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder with the files of fashion-mnist, or torchvision's.")] = None,
    size: Annotated[int | None, typer.Option(help="Side that images are resized to.", show_default="what suits them")] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The network that is looked into, as compare takes it.", show_default="the small one"),
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="A file of its weights, as compare takes it.", show_default="random ones")
    ] = None,
    site: Annotated[
        str | None,
        typer.Option(
            help="A hidden layer to look at: stem, layer1, layer2, layer3, or a module of the model. A strategy that usually "
            "stands in a hidden layer, and names none, acts there.",
            show_default="all in which something acts",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of all that is drawn; another one shows another step.")] = 0,
    count: Annotated[int, typer.Option(help="Images at most.")] = 5,
    out: Annotated[Path, typer.Option(help="Output folder.")] = Path("show-out"),
) -> None:
    """Show what a strategy or a pipeline does: samples, moments of hidden layers, and labels, before and after.

    Writes samples.png, a moments-SITE.png for each hidden layer, and labels.csv.
    """
    with _refusals_explained():
        from featmix.cli.show import run_show

        run_show(
            strategy, pipeline=pipeline, data=data, images=images or (), root=root, size=size, model=model,
            weights=weights, site=site, seed=seed,
            count=count, out=out,
        )  # fmt: skip


def _card(tags: object) -> dict[str, object]:
    names = ("mixes_labels", "where", "moments", "paper", "url")
    return {name: getattr(tags, name) for name in names}


@contextmanager
def _refusals_explained() -> Iterator[None]:
    """Turn a refused input or a missing extra into one message and exit status 2, and Ctrl-C into status 130.

    Where the system refuses to read or write, the disk being full for instance, the status is 3.
    """
    try:
        yield
    except FeatmixError as error:
        _fail(str(error))
    except OSError as error:
        about = f"{error.filename}: " if error.filename else ""
        again = " Make room, or name another folder with --out; what is finished is kept." if error.errno in _FULL else ""
        _fail(f"{about}{error.strerror or error}.{again}", status=3)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "featmix":
            raise
        extra = "testing" if error.name == "hypothesis" else "compare"
        from featmix.support.extras import pip_install

        _fail(f"{error.name} is missing: install featmix[{extra}]. {pip_install(f'featmix[{extra}]')}.")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


_FULL = (errno.ENOSPC, errno.EDQUOT)


def _fail(message: str, status: int = 2) -> None:
    Console(stderr=True).print(printable(message), style="bold red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(status) from None
