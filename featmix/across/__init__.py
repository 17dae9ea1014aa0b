"""Mixing across ranks: one exchange of messages per draw, and moments that are gathered from all ranks."""
