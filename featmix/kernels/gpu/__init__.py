"""Triton kernels for CUDA devices. Imported only where there is a tensor for them: they need the package ``triton``."""
