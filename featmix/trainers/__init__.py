"""featmix in the trainers that people use; each module is named after the library that it needs, and imported by its name."""
