"""Run the command as ``python -m featmix.cli``."""

from featmix.cli.main import main

if __name__ == "__main__":
    main()
