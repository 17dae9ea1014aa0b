"""The picture of the front page: one photograph under each strategy, with what its label becomes.

``python docs/_ext/front.py`` writes the README's copy of it, ``docs/images/strategies.jpg``.
"""

import inspect
import io
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

import torch  # noqa: E402 - the path comes first
from matplotlib.figure import Figure  # noqa: E402
from sklearn.datasets import load_sample_image  # noqa: E402

import featmix as fm  # noqa: E402
from featmix.pictures import captions  # noqa: E402

SIZE, DRAWS, DPI = 224, 7, 100
CELL = 2.6  # inches
WIDEST = 20  # letters of a title over an image
# What is on each crop, the photograph, and where: top, left, and the length of its side.
CROPS = [
    ("pagoda", "china.jpg", 15, 40, 330),
    ("flower", "flower.jpg", 60, 150, 310),
    ("lake", "china.jpg", 130, 340, 240),
    ("leaves", "flower.jpg", 0, 0, 200),
]
PARTNERS = [1, 0, 3, 2]


@dataclass(frozen=True)
class Cell:
    """One image of the picture."""

    title: str
    image: torch.Tensor
    label: str


def pages() -> dict[str, bytes]:
    """One for wide windows, and one for narrow ones."""
    cells = found()
    return {"front/wide.jpg": drawn(cells, columns=5), "front/narrow.jpg": drawn(cells, columns=3)}


def found() -> list[Cell]:
    """The sample, its partner, and the sample under each strategy of the registry."""
    images, names = photographs()
    cells = [Cell("sample", images[0], names[0]), Cell("partner", images[1], names[1])]
    for name in fm.list_strategies():
        params, mixed = typical(fm.create(name, p=1.0), images)
        cells.append(Cell(_short(heading(name)[0]), mixed[0], captions(params.mixture, names)[0]))
    return cells


def _short(title: str) -> str:
    """The title itself, or its initials where it is wider than an image."""
    return title if len(title) <= WIDEST else "".join(word[0] for word in title.split()).upper()


def heading(name: str) -> tuple[str, str]:
    """What a strategy is called, and what it does in one line, as its module says: ``Mixup: blend the samples.``"""
    cls = fm.strategy_class(name)
    said = (inspect.getdoc(inspect.getmodule(cls)) or "").partition("\n")[0].replace("``", "`")
    title, colon, rest = said.partition(": ")
    if not colon:
        return cls.__name__, said
    return title, rest[:1].upper() + rest[1:]


def photographs() -> tuple[torch.Tensor, list[str]]:
    """Crops of the two photographs that come with scikit-learn, ``(B, 3, SIZE, SIZE)`` in [0, 1]."""
    crops = []
    for _, file, top, left, side in CROPS:
        photograph = torch.tensor(load_sample_image(file)).movedim(-1, 0).float() / 255
        crop = photograph[None, :, top : top + side, left : left + side]
        crops.append(torch.nn.functional.interpolate(crop, size=(SIZE, SIZE), mode="bilinear", antialias=True))
    return torch.cat(crops), [crop[0] for crop in CROPS]


def typical(strategy: fm.Strategy, images: torch.Tensor) -> tuple[fm.Params, torch.Tensor]:
    """Of several draws, the one that changes the first image by the median amount."""
    partner = torch.tensor(PARTNERS)
    results = []
    for seed in range(DRAWS):
        generator = torch.Generator().manual_seed(seed)
        params = strategy.make_params(images.shape, generator=generator, partner=partner)
        mixed = strategy.transform(images, params)
        results.append((float((mixed[0] - images[0]).abs().mean()), seed, params, mixed))
    _, _, params, mixed = sorted(results, key=lambda item: item[:2])[DRAWS // 2]
    return params, mixed


def drawn(cells: list[Cell], *, columns: int) -> bytes:
    """A JPEG with so many images side by side."""
    rows = -(-len(cells) // columns)
    figure = Figure(figsize=(CELL * columns, (CELL + 0.62) * rows), layout="constrained", dpi=DPI)
    for axis in figure.subplots(rows, columns, squeeze=False).flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for axis, cell in zip(figure.axes, cells, strict=False):
        axis.imshow(cell.image.clamp(0, 1).movedim(0, -1).numpy())
        axis.set_title(cell.title, fontsize=13, fontweight="bold")
        axis.set_xlabel(cell.label.replace("\n", " + "), fontsize=12)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpg", dpi=DPI, pil_kwargs={"quality": 80, "optimize": True})
    return buffer.getvalue()


if __name__ == "__main__":
    target = ROOT / "docs" / "images" / "strategies.jpg"
    target.write_bytes(drawn(found(), columns=5))
