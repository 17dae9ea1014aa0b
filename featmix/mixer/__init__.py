"""Strategies on a model that nobody edited."""
