"""Where kernels run in these tests."""

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
