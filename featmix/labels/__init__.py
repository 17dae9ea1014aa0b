"""Labels of mixed batches."""
