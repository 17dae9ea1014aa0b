"""Messages before the first run: about the data, and about the sites of strategies."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from torch import nn

from featmix.compare.contenders import Contender
from featmix.compare.escaping import for_terminal
from featmix.compare.models import SMALL
from featmix.compare.places import Places
from featmix.compare.settings import Settings
from featmix.compare.sources import Source


def tell_of_data(console: Console, source: Source) -> None:
    """Describe the data, if it is the user's own, and print the notes on it."""
    if source.about:
        console.print(for_terminal(source.about), markup=False, highlight=False, soft_wrap=True)
    for note in source.notes:
        console.print(f"  {for_terminal(note)}", style="yellow", markup=False, highlight=False, soft_wrap=True)


def tell_of_sites(console: Console, specs: Sequence[Contender], settings: Settings, network: nn.Module | None) -> None:
    """Print the modules for sites that have another name than their module."""
    if network is None or settings.model == SMALL:
        return
    places = Places(network)
    trees = [(tree, spec.published) for spec in specs if (tree := spec.pipeline().tree) is not None]
    told = {site: module for tree, published in trees for site, module in places.told(tree, published=published).items()}
    if told:
        words = ", ".join(f"{site} is {module}" for site, module in told.items())
        console.print(for_terminal(f"Sites: {words}"), markup=False, highlight=False, soft_wrap=True)
