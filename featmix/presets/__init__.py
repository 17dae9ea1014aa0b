"""Published settings by name."""
