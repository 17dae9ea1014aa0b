"""What the README says of the study is what its results say."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_sentences_of_the_study_are_those_of_its_results():
    tool = runpy.run_path(str(ROOT / "tools" / "readme_results.py"))
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    written = tool["between"](text, *tool["STUDY"], tool["study"]())
    assert written == text, "run python tools/readme_results.py --study"
