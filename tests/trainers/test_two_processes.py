"""Two processes over gloo train what one process does that goes through both of their batches."""

import copy

import torch
from torch.nn import functional as F

import featmix as fm
from featmix.seeding import derived
from tests.trainers.hf_networks import batch, pictures, vit, weights
from tests.trainers.hf_running import PLAIN
from tests.trainers.hf_two_processes import PARTS, RANKS, ROWS, SIZE, TREE, spawn


def one_process(shards, generators, *, share):
    """The loop by hand: the mean of the ranks' gradients, each of their parts by what ``share`` says of it."""
    model = vit()
    ranks = [copy.deepcopy(model) for _ in range(RANKS)]
    mixers = [
        fm.attach(each, TREE, example={"pixel_values": torch.zeros(1, 1, 8, 8)}, generator=generator)
        for each, generator in zip(ranks, generators, strict=True)
    ]
    drawn = [[] for _ in ranks]
    for step in range(0, len(shards[0]), PARTS):
        for number, (each, mixer, shard) in enumerate(zip(ranks, mixers, shards, strict=True)):
            for part in shard[step : step + PARTS]:
                mix = mixer.draw(part["pixel_values"], target=part["labels"])
                loss = mix.loss(F.cross_entropy, each(pixel_values=part["pixel_values"]).logits, part["labels"])
                (loss * share(part, [s[step : step + PARTS] for s in shards], number)).backward()
                drawn[number].append(mix)
        with torch.no_grad():
            for together in zip(*(each.parameters() for each in ranks), strict=True):
                gradient = sum(p.grad for p in together) / RANKS
                for p in together:
                    p -= 0.5 * gradient
                    p.grad = None
    assert torch.equal(*map(weights, ranks))
    return weights(ranks[0]), drawn


def rows_of(parts):
    return sum(len(part["labels"]) for part in parts)


def of_all(part, shards, rank):
    return RANKS * rows_of([part]) / sum(map(rows_of, shards))


def of_its_rank(part, shards, rank):
    return rows_of([part]) / rows_of(shards[rank])


def of_a_part(part, shards, rank):
    return 1 / PARTS


def test_trainer_and_accelerate(tmp_path):
    spawn(tmp_path)
    found = [torch.load(tmp_path / f"found_{rank}.pt") for rank in range(RANKS)]
    rows = pictures(ROWS)
    batches = [batch(rows[first : first + SIZE]) for first in range(0, ROWS, SIZE)]
    shards = [batches[rank::RANKS] for rank in range(RANKS)]
    for name, share in (("through", of_all), ("apart", of_its_rank)):
        seeds = [torch.Generator().manual_seed(derived(PLAIN["seed"], rank)) for rank in range(RANKS)]
        expected, drawn = one_process(shards, seeds, share=share)
        for rank in range(RANKS):
            got, partners = found[rank]["trainer"][name]
            torch.testing.assert_close(got, expected, atol=5e-6, rtol=1e-5)
            assert all(map(torch.equal, partners, (mix.params["input"].partner for mix in drawn[rank])))
            assert len(partners) == len(drawn[rank])
    assert not torch.equal(found[0]["trainer"]["through"][0], found[0]["trainer"]["apart"][0])
    for rank in range(RANKS):
        whole, decisions = found[rank]["trainer"]["through"]
        resumed, again = found[rank]["trainer"]["resumed"]
        assert torch.equal(whole, resumed)
        assert len(again) == 1
        assert torch.equal(decisions[-1], again[0])

    shards = [[batch(rows[rank::RANKS][first : first + SIZE]) for first in range(0, 4 * SIZE, SIZE)] for rank in range(RANKS)]
    expected, drawn = one_process(shards, [torch.Generator().manual_seed(5 + rank) for rank in range(RANKS)], share=of_a_part)
    for rank in range(RANKS):
        runs = found[rank]["accelerate"]
        for name in ("through", "after prepare", "resumed"):
            got, strengths = runs[name]
            torch.testing.assert_close(got, expected, atol=5e-6, rtol=1e-5)
            assert all(map(torch.equal, strengths, [mix.params["input"].lam for mix in drawn[rank]][-len(strengths) :]))
        assert torch.equal(runs["through"][0], runs["resumed"][0])
