"""Small helpers that know nothing of augmentation: files, other packages, progress bars, copies to devices, compilers."""
