"""Sphinx configuration. Everything that can be read off the code is written by the extension ``generate``."""

import hashlib
import logging
import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent / "tools"), str(HERE.parent)]

import featmix  # noqa: E402 - the path comes first


def code_hash(folder: Path) -> str:
    """Changes with any Python file below the folder."""
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


project = "featmix"
author = "the featmix authors"
project_copyright = author
release = version = featmix.__version__

extensions = ["myst_nb", "sphinx_design", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generate", "words"]
source_suffix = {".md": "myst-nb"}
exclude_patterns = ["_build", "_generated/parts", "evidence/**"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
python_maximum_signature_line_length = 110

# Notebooks run in a process of their own, with this featmix, and again only when they or featmix change.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "notebooks" / code_hash(HERE.parent / "featmix"))
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
nb_render_markdown_format = "myst"  # with tables
logging.getLogger("traitlets").setLevel(logging.WARNING)  # it announces every notebook that it runs

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
    ("py:.*", r"(torch|nn|numpy|np|matplotlib|hypothesis|typer|click|rich|lightning|lightning_fabric|torchmetrics)(\..*)?"),
    ("py:.*", r"(kornia|albumentations|torchvision|transformers|accelerate)(\..*)?"),
    ("py:.*", r"(abc|argparse|collections|contextlib|multiprocessing|os|pathlib|types|typing)(\..*)?"),
    ("py:.*", r"(Tensor|Module|Generator|device|dtype|NDArray|ndarray|float64|Path|Fabric|IterableDataset|ProcessGroup)"),
    ("py:.*", r"(Trainer|LightningModule|Callback)"),
    # Private bases and type variables have no page.
    ("py:.*", r"(.*\.)?_\w+"),
    ("py:.*", r"(.*\.)?[PN]"),
    # Aliases: of trees, of what YAML can hold, of slices, keys and positions, of functions and of dictionaries.
    ("py:class", r"Tree|Plain|Box|Name|Named|Criterion|AlsoGiven|Across|Factory|Measured"),
]

html_theme = "furo"
html_title = f"featmix {release}"
html_show_sphinx = False
html_static_path = ["_static"]
html_css_files = ["featmix.css"]
