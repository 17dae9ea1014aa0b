"""Fast paths behind the formulas. The formula stays the reference, and is what a compiler sees."""
