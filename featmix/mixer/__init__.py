"""Strategies attached to a model whose code stays as it is."""
