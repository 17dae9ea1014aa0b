import os

import hypothesis
import torch

hypothesis.settings.register_profile("ci", derandomize=True, print_blob=False)
hypothesis.settings.register_profile("nightly", derandomize=False)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # it asks the package index for newer versions at each import
torch.set_num_threads(1)  # tests run in as many processes as there are cores
