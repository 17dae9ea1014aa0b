"""All randomness."""
