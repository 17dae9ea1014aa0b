"""Small helpers without any augmentation: files, other packages, progress bars, copies to devices, compilers."""
