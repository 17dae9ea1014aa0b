"""What the subset ``device`` measures: features, images, draws and training steps; and what its time is spent on first."""
