"""Sphinx configuration. Everything that can be read off the code is written by the extension ``generate``."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent / "tools"), str(HERE.parent)]

import featmix  # noqa: E402 - the path comes first

project = "featmix"
author = "the featmix authors"
project_copyright = author
release = version = featmix.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generate", "words"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "_generated/parts"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
python_maximum_signature_line_length = 110

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

nitpicky = True
nitpick_ignore_regex = [
    # Other projects: their pages are not looked up, so that the build needs no network.
    ("py:.*", r"(torch|nn|numpy|np|matplotlib|hypothesis|typer|click|rich|lightning_fabric|torchmetrics)(\..*)?"),
    ("py:.*", r"(kornia|albumentations|torchvision)(\..*)?"),
    ("py:.*", r"(abc|collections|multiprocessing|os|pathlib|types|typing)(\..*)?"),
    ("py:.*", r"(Tensor|Module|Generator|device|dtype|NDArray|ndarray|float64|Path|Fabric)"),
    # Private bases and type variables have no page.
    ("py:.*", r"(.*\.)?_\w+"),
    # Aliases of unions: At | Compose | OneOf | SomeOf, and what YAML can hold.
    ("py:class", r"Tree|Plain"),
]

html_theme = "furo"
html_title = f"featmix {release}"
html_show_sphinx = False
