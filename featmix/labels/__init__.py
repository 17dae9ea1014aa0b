"""What becomes of the labels."""
