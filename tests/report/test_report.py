"""The report of a folder: complete, self-contained, and unmoved by what strangers wrote into it."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from featmix import FeatmixError
from featmix.compare.kept import name_of
from featmix.compare.output import OutputFolder
from featmix.compare.results import Row
from featmix.report import report
from featmix.report.latex import escaped, table

LEVELS = {"none": 0.80, "moex": 0.85, "cutmix": 0.70}
SITES = {"none": "", "moex": "stem", "cutmix": "input"}


def make_rows(domains=("plain", "a_b & <i>"), seeds=3):
    return [
        Row(
            name, "", SITES[name], seed, domain, level + seed / 100 * (1 + (name == "moex")), level - 0.1 - seed / 90, 0.1, 0.01
        )
        for name, level in LEVELS.items()
        for seed in range(seeds)
        for domain in domains
    ]


@pytest.fixture
def folder(tmp_path):
    def made(rows, **settings):
        with OutputFolder(tmp_path / "runs") as out:
            out.begin({"data": "folder:/pictures/$x_1", "epochs": 4, "test_share": 0.3, **settings})
            out.keep(rows)
        return tmp_path / "runs"

    return made


def reported(folder, **arguments):
    page = report(folder, console=Console(quiet=True), **arguments)
    return page.read_text(encoding="utf-8")


class Seen(HTMLParser):
    """Tags, what they refer to, and the text between them."""

    def __init__(self):
        super().__init__()
        self.tags, self.references, self.text, self.open = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.references += [value for name, value in attrs if name.split(":")[-1] in ("href", "src")]

    def handle_data(self, data):
        self.text.append(data)


def read(page):
    seen = Seen()
    seen.feed(page)
    return seen


def test_the_page_has_every_number_and_needs_no_other_file(folder):
    where = folder(make_rows())
    seen = read(reported(where))
    text = " ".join(" ".join(seen.text).split())
    for part in ("Result", "All pairs", "Accuracy by held-out domain", "What was run", "3 strategies · 3 seeds · 18 runs"):
        assert part in text
    summaries = json.loads((where / "report.json").read_text())["strategies"]
    for one in summaries:
        assert f"{100 * one['held_out']['mean']:.1f} ±" in text
    assert seen.tags.count("svg") == 2 + 2  # levels and pairs, and one for each domain
    assert all(one.startswith("#") for one in seen.references)  # nothing is fetched
    assert "script" not in seen.tags
    assert "In-domain accuracy is below that of none for cutmix" in text


def test_words_of_strangers_are_text(folder):
    evil = "<script>alert(1)</script>"
    rows = [*make_rows(domains=("plain", evil)), Row("moex", "", "layer1", 0, "plain", error=f"boom {evil}")]
    page = reported(folder(rows, data=f"folder:{evil}"))
    assert "<script" not in page
    assert "boom &lt;script&gt;" in page
    assert "i" not in read(page).tags


def test_references_within_pictures_are_their_own(folder):
    page = reported(folder(make_rows()))
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    names = [set(re.findall(r' id="([^"]+)"', picture)) for picture in pictures]
    used = [set(re.findall(r'(?:url\(#|href="#)([^")]+)', picture)) for picture in pictures]
    for own, needed in zip(names, used, strict=True):
        assert needed <= own
    assert all(not (one & other) for number, one in enumerate(names) for other in names[:number])


def test_latex_and_json(folder):
    where = folder(make_rows())
    reported(where, baseline="moex", interval="nadeau-bengio")
    text = (where / "report.tex").read_text()
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 3
    assert r"a\_b \& \textless{}i\textgreater{}" in text
    assert r"\$x\_1" in text
    data = json.loads((where / "report.json").read_text())
    assert data["interval"]["kind"] == "nadeau-bengio"
    assert [one["label"] for one in data["strategies"]] == ["moex", "none", "cutmix"]
    assert len(data["runs"]) == 18
    assert len(data["pairs"]) == 2 * 3


def keep(folder, rows, classes=("zero", "<b>one</b>")):
    """Writes what is kept as a run does, with answers that are known."""
    where = folder / "kept"
    where.mkdir()
    (where / "about.json").write_text(json.dumps({"classes": classes, "domains": ["plain"]}))
    for row in rows:
        path = where / name_of(row.key)
        confusion = np.array([[8, 2], [5, 5]])
        points = [{"epoch": n, "loss": 1 / n, "in_domain_accuracy": 0.5, "held_out_accuracy": 0.4} for n in (1, 2)]
        accuracy = {where: [0.8, 0.5] for where in ("in_domain", "held_out")}
        path.with_name(path.name + ".pt").write_bytes(b"")
        np.savez(path.with_name(path.name + ".npz"), in_domain_confusion=confusion, held_out_confusion=confusion)
        record = {"key": list(row.key), "curve": points, "class_accuracy": accuracy}
        path.with_name(path.name + ".json").write_text(json.dumps(record))


def test_what_was_kept_is_shown(folder):
    rows = make_rows(domains=("plain", "noisy"))
    where = folder(rows)
    keep(where, rows)
    page = reported(where)
    seen = read(page)
    text = " ".join(" ".join(seen.text).split())
    for part in ("Learning curves", "Accuracy by class", "Who is taken for whom"):
        assert part in text
    assert seen.tags.count("svg") == 2 + 2 + 3 + 3  # and three curves, and a matrix for each strategy
    assert "80.0 ±0.0" in text
    assert "<b>" not in page
    assert "b" not in seen.tags
    (where / "kept" / f"{name_of(rows[0].key)}.json").write_text("[]")
    with pytest.raises(FeatmixError, match="what is kept of a run"):
        reported(where)


def test_one_seed_and_one_domain_have_no_intervals(folder):
    page = reported(folder(make_rows(domains=("",), seeds=1)))
    assert "±" not in " ".join(read(page).text).replace("±1", "")
    assert "Accuracy by held-out domain" not in page


def test_what_is_no_folder_of_runs_is_refused(tmp_path, folder):
    whole = folder(make_rows(), test_share=None)
    with pytest.raises(FeatmixError, match="a folder that featmix compare wrote"):
        report(tmp_path)
    with pytest.raises(FeatmixError, match="none, moex, cutmix"):
        report(whole, baseline="mixup")
    with pytest.raises(FeatmixError, match="the same for all seeds"):
        report(whole, interval="nadeau-bengio")


def test_latex_escapes_and_aligns():
    assert escaped("a_b\\c ^~ 5 %") == r"a\_b\textbackslash{}c \textasciicircum{}\textasciitilde{} 5 \%"
    made = table(["x", "y"], [["1 ±2", "3"]], caption="c & d", label="tab:x")
    assert r"\begin{tabular}{lr}" in made
    assert r"1 $\pm$2 & 3 \\" in made
    assert r"\caption{c \& d}" in made
