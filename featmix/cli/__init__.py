"""The command ``featmix``."""
