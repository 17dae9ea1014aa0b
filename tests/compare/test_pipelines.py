import dataclasses
import hashlib
import json

import albumentations as A
import kornia.augmentation as K
import pytest
import torch

import featmix as fm
from featmix.compare.contenders import chosen_baseline
from featmix.compare.digits import read_digits
from featmix.compare.escaping import shown_labels
from featmix.compare.pairs import pairwise
from featmix.compare.pipelines import PIPELINE, read_pipelines
from featmix.compare.report import result_table
from featmix.compare.results import Row
from featmix.compare.settings import Settings
from featmix.compare.statistics import summarize
from featmix.compare.training import Run, train, with_seed
from featmix.errors import FeatmixError

TINY = Settings(epochs=1, limit=60, width=8, batch_size=32)


@pytest.fixture
def whole(tmp_path):
    """A file with a pipeline that has all its parts."""
    pipeline = fm.Pipeline(
        sample=A.Compose([A.RandomCrop(14, 14), A.HorizontalFlip()]),
        batch=K.AugmentationSequential(K.RandomAffine(15.0)),
        mix={"input": fm.CutMix(p=0.5), "layer1": fm.MoEx("pono")},
        seed=5,
    )
    fm.save(pipeline, tmp_path / "aug.yaml")
    return tmp_path / "aug.yaml"


def test_its_name_changes_with_its_content(whole):
    (first,) = read_pipelines([whole])
    whole.write_text(whole.read_text() + "# a remark\n")
    (again,) = read_pipelines([str(whole)])
    fm.save(fm.Pipeline(mix={"stem": fm.MoEx()}), whole)
    (other,) = read_pipelines([whole])
    assert first.name == PIPELINE
    assert first.label.startswith("pipeline:aug-")
    assert first == again
    assert hash(first) == hash(again)
    assert first != other


def colliding(pipeline):
    """Two pipelines that differ in their seeds, and whose digests begin alike, as far as tables show them."""
    written, seen = fm.to_dict(pipeline), {}
    for seed in range(100_000):
        digest = hashlib.sha256(json.dumps({**written, "seed": seed}).encode()).hexdigest()
        if digest[:6] in seen:
            return [with_seed(pipeline, one) for one in (seen[digest[:6]], seed)]
        seen[digest[:6]] = seed
    raise AssertionError("no two of a hundred thousand, against all odds")


def test_two_pipelines_whose_digests_begin_alike_are_told_apart(tmp_path):
    """A digest of 24 bits made compare report one file's results as the other's."""
    files = []
    for number, pipeline in enumerate(colliding(fm.Pipeline(mix={"stem": fm.MoEx()}, seed=0))):
        (tmp_path / str(number)).mkdir()
        files.append(tmp_path / str(number) / "aug.yaml")
        fm.save(pipeline, files[-1])
    first, second = read_pipelines(files)
    assert first != second
    assert Run(first, 0, "").key != Run(second, 0, "").key
    assert first.file != second.file
    shown = shown_labels([first.label, second.label])
    short = [shown[first.label], shown[second.label]]
    assert short[0] != short[1]
    assert short[0][: len("pipeline:aug-") + 6] == short[1][: len("pipeline:aug-") + 6]
    assert all(len(one) < len("pipeline:aug-") + 12 for one in short)
    assert shown_labels([first.label])[first.label] == short[0][: len("pipeline:aug-") + 6]
    assert chosen_baseline(short[1], [first, second]) == second.label
    rows = [
        Row(spec.name, spec.settings, spec.site, 0, "", value, None, 0.1, 0.01)
        for spec, value in ((first, 0.25), (second, 0.75))
    ]
    assert [summary.in_domain.mean for summary in summarize(rows, first.label)] == [0.25, 0.75]
    assert {pair.difference.mean for pair in pairwise(rows, "in_domain")} == {-0.5}
    head, body = result_table(summarize(rows, first.label), first.label)
    assert head[1] == "in-domain"
    assert f"vs {short[0]}" in head
    assert [line[0] for line in body] == short


def test_the_digest_has_128_bits_and_knows_the_order_of_sites(tmp_path):
    """In which order labels compose goes by it."""
    digests = []
    for sites in ({"stem": fm.MoEx(), "layer1": fm.Mixup()}, {"layer1": fm.Mixup(), "stem": fm.MoEx()}):
        fm.save(fm.Pipeline(mix=sites, seed=0), tmp_path / "aug.yaml")
        digests.append(read_pipelines([tmp_path / "aug.yaml"])[0].settings.removeprefix("aug-"))
    assert [len(bytes.fromhex(digest)) * 8 for digest in digests] == [128, 128]
    assert digests[0] != digests[1]


def test_it_is_made_anew_each_time(whole):
    (spec,) = read_pipelines([whole])
    first, second = spec.pipeline(), spec.pipeline()
    assert first.mix["layer1"] is not second.mix["layer1"]
    assert fm.to_dict(first) == fm.to_dict(second) == fm.to_dict(fm.load(whole))


def test_a_tree_will_do(tmp_path):
    fm.save(fm.OneOf([fm.At("input", fm.Mixup()), fm.At("stem", fm.MoEx())]), tmp_path / "tree.yaml")
    fm.save({"stem": fm.MoEx()}, tmp_path / "sites.yaml")
    assert [
        len(spec.pipeline().tree.leaves()) for spec in read_pipelines([tmp_path / "tree.yaml", tmp_path / "sites.yaml"])
    ] == [
        2,
        1,
    ]


def test_what_is_no_pipeline_is_refused(tmp_path, whole):
    fm.save(fm.MoEx(), tmp_path / "moex.yaml")
    with pytest.raises(FeatmixError, match=r"a pipeline or a tree, got a MoEx\. Say where it acts"):
        read_pipelines([tmp_path / "moex.yaml"])
    with pytest.raises(FeatmixError, match="each pipeline once"):
        read_pipelines([whole, whole])
    with pytest.raises(FeatmixError, match="No such file"):
        read_pipelines([tmp_path / "none.yaml"])


def test_a_run_of_a_pipeline_repeats(whole):
    digits = read_digits()
    (spec,) = read_pipelines([whole])
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    rows = [train(Run(spec, 1, "colors"), TINY, digits) for _ in range(2)]
    torch.set_num_threads(threads)
    torch.random.set_rng_state(state)
    first, second = (dataclasses.replace(row, seconds_per_step=None) for row in rows)
    assert first == second
    assert first.error == ""
    assert first.label == spec.label


def test_a_pipeline_of_one_strategy_trains_as_the_strategy_does(tmp_path):
    """So what is written in a file and what is written on the command line are one thing."""
    from featmix.compare.contenders import contender

    fm.save(fm.Pipeline(mix={"stem": fm.MoEx()}, seed=9), tmp_path / "moex.yaml")
    digits = read_digits()
    rows = [
        train(Run(spec, 2, "inverted"), TINY, digits) for spec in (contender("moex"), *read_pipelines([tmp_path / "moex.yaml"]))
    ]
    measured = [(row.in_domain_accuracy, row.held_out_accuracy, row.calibration_error) for row in rows]
    assert measured[0] == measured[1]
