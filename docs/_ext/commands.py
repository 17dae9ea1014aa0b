"""The command line, from the program itself."""

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from featmix.cli.main import app


def pages() -> dict[str, str]:
    command = get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="featmix", indent=1)
    return {"parts/commands.md": text.partition("\n")[2]}
