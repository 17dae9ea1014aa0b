"""The ``featmix`` command, also as ``python -m featmix``."""

from __future__ import annotations

import sys

NEEDED = ("typer", "rich")  # of the extras; the library itself does without


def main() -> None:
    """Run the command, or say what it needs where that is not installed."""
    try:
        from featmix.cli.main import main as command
    except ModuleNotFoundError as error:
        if error.name not in NEEDED:
            raise
        sys.exit(f'featmix: the command needs {error.name}: pip install "featmix[compare]"')
    command()


if __name__ == "__main__":
    main()
