"""Ranks that decide together: one meeting a draw, and moments that travel between them."""
