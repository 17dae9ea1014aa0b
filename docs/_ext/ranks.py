"""The page on ranks that decide together: who sends what, which strategies do, and what the model says of large clusters."""

import io

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from readme_table import markdown_table

import featmix as fm
from featmix.across.cost import MOST_RANKS, Network, moment_bytes, step_seconds

GPUS = (8, 16, 64, 256, 1024, 4096)
ROWS, NUMBERS, SIDE = 8, 256, 56  # of one rank; of one sample at the site: instance norm on 56x56x256
RESNET50 = 25_557_032 * 2  # bytes of gradients in bfloat16
COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#b07aa1")


def pages() -> dict[str, str | bytes]:
    return {"ranks/sends.png": picture(), "parts/ranks-cost.md": cost(), "parts/ranks-strategies.md": strategies()}


def strategies() -> str:
    """By the flag that each class has."""
    works = [name for name in fm.list_strategies() if fm.strategy_class(name).lends_moments]
    others = [name for name in fm.list_strategies() if name not in works]
    said = [", ".join(f"`{name}`" for name in names) for names in (works, others)]
    return markdown_table(["takes `across=`", "refuses it: rows take features from their partner"], [said]) + "\n"


def cost() -> str:
    """The model's table and what it assumes."""
    network, rows = Network(), []
    for ranks in GPUS:
        seconds = step_seconds(network, ranks, ROWS, NUMBERS)
        gathered = (ranks - 1) * moment_bytes(ROWS, NUMBERS)
        rows.append(
            [
                f"{ranks:,}",
                _size(gathered),
                f"{1e6 * seconds:,.0f} µs",
                f"{100 * seconds / 0.1:.2f} %",
                f"{1e6 * network.draw(ranks):,.0f} µs",
                f"{1e6 * network.all_reduce(ranks, RESNET50):,.0f} µs",
                "all ranks" if ranks <= MOST_RANKS else "the ranks of a node",
            ]
        )
    heads = [
        "GPUs",
        "moments a rank receives",
        "a site adds",
        "of a step of 100 ms",
        "a draw, on the host",
        "gradients of a ResNet-50",
        "`across=True` is",
    ]
    features = ROWS * NUMBERS * SIDE**2 * 2
    assumed = (
        f"Assumed: {ROWS} samples a GPU, instance norm on {SIDE}×{SIDE}×{NUMBERS} (each rank sends "
        f"{_size(moment_bytes(ROWS, NUMBERS))} of moments; its features in bfloat16 are {_size(features)}); 8 GPUs a machine; "
        f"{network.inside / 1e9:.0f} GB/s from a GPU to others of its machine and {network.outside / 1e9:.0f} GB/s to other "
        f"machines; {1e6 * network.near:.0f} µs a message inside and {1e6 * network.far:.0f} µs outside, with as many messages "
        f"one after the other as a ring inside and a tree outside take; {1e6 * network.launch:.0f} µs to start a collective; "
        f"{1e6 * network.host:.0f} µs from one host's program to another's, and {1e6 * network.hand:.0f} µs of work a message; "
        "nothing overlaps with computing, and a site takes one all-gather forward and one reduce-scatter of the same size "
        "backward. None of it is measured on such a cluster."
    )
    return f"{markdown_table(heads, rows)}\n\n{assumed}\n"


def picture() -> bytes:
    """Four ranks: features stay, moments go to all, and a row takes those of its partner."""
    figure = Figure(figsize=(9.4, 4.3), dpi=110)
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, 94), ylim=(0, 43))
    axis.set_axis_off()
    for rank, colour in enumerate(COLOURS):
        left = 3 + 23 * rank
        axis.add_patch(Rectangle((left, 2), 19, 38, fill=False, edgecolor=colour, linewidth=1.6))
        axis.text(left + 9.5, 37, f"rank {rank}", ha="center", fontsize=11, fontweight="bold", color=colour)
        for row in range(2):
            axis.add_patch(Rectangle((left + 1.5 + 8.5 * row, 26), 7.5, 8, facecolor=colour, alpha=0.35))
            axis.add_patch(Rectangle((left + 3.5 + 8.5 * row, 20.5), 3.5, 1.6, facecolor=colour))
        axis.text(left + 9.5, 30, "features stay", ha="center", va="center", fontsize=9)
        axis.text(left + 9.5, 23.3, "their moments", ha="center", fontsize=8)
        for other, shade in enumerate(COLOURS):
            for row in range(2):
                axis.add_patch(Rectangle((left + 1.2 + 4.3 * other + 2.1 * row, 9), 1.8, 1.6, facecolor=shade))
            start, end = (3 + 23 * other + 9.5, 20), (left + 3.2 + 4.3 * other, 11)
            arrow = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=7, color=shade, alpha=0.5, linewidth=0.9)
            axis.add_patch(arrow)
        axis.text(left + 9.5, 5, "moments of all rows:\neach takes its partner's", ha="center", va="center", fontsize=8)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
