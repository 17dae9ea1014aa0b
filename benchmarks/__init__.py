"""What featmix costs, against the published formulas and other libraries: ``python -m benchmarks --help``."""
