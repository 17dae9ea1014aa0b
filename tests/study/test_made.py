"""Where results come from is told with them."""

import json

from study.__main__ import note
from study.parts import PARTS


def test_interrupted_calls_count_too(tmp_path):
    for seconds in (10.0, 5.4):
        note(tmp_path, PARTS[0], seconds)
    made = json.loads((tmp_path / "made.json").read_text())
    assert made["seconds"] == 15
    assert made["command"] == f"python -m study {PARTS[0].name}"
    assert len(made["commits"]) == 1
    assert made["machine"]["cores"] >= 1
