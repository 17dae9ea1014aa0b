"""The study behind the page Evidence: comparisons and probes with committed results that can be reproduced."""
