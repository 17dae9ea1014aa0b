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
        if not _answered(sys.argv[1:]):
            from featmix.support.extras import pip_install

            sys.exit(f"featmix: the command needs {error.name}: {pip_install('featmix[compare]')}")
        return
    command()


def _answered(arguments: list[str]) -> bool:
    """Print what needs no extra: the version, and the names of strategies."""
    if arguments == ["--version"]:
        from importlib.metadata import version

        lines = [f"featmix {version('featmix')}"]
    elif arguments == ["list"]:
        from featmix.strategies.registry import list_strategies

        lines = list_strategies()
    else:
        return False
    sys.stdout.write("\n".join(lines) + "\n")
    return True


if __name__ == "__main__":
    main()
