import os
from importlib.util import find_spec

import torch

collect_ignore = [] if find_spec("triton") else ["compiled.py", "compiling.py"]  # no tests: test_compilation runs them

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported
