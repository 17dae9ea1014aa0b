"""Normalizers: who is averaged over whom, and the moments they take."""
