"""What the page Evidence shows: comparisons and probes whose results are committed, and can be made again."""
