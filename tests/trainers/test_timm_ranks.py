"""Two processes under DDP: gradients are the mean of those of the formula, and a checkpoint of rank 0 resumes both."""

import torch
from torch.nn import functional as F

from tests.trainers.timm_ranks import STEPS, batch, network, train


def gradients(before, x, y, partner):
    """Those of a step by formulas alone."""
    model = network()
    for parameter, value in zip(model.parameters(), before, strict=True):
        parameter.data.copy_(value)
    features = model[0](x)
    mean, std = features.mean(1, keepdim=True), (features.var(1, keepdim=True) + 1e-5).sqrt()
    output = model[1:]((features - mean) / std * std[partner] + mean[partner])
    (0.75 * F.cross_entropy(output, y) + 0.25 * F.cross_entropy(output, y[partner])).backward()
    return [parameter.grad for parameter in model.parameters()]


def test_two_ranks_train_by_the_formula_and_resume_from_the_checkpoint_of_one(tmp_path):
    torch.multiprocessing.spawn(train, (str(tmp_path),), nprocs=2)
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    for step in range(STEPS):
        taken = [found["whole"][step] for found in ranks]
        each = [gradients(t["before"], *batch(rank, step), t["partner"]) for rank, t in enumerate(taken)]
        for found, also, first, second in zip(taken[0]["gradient"], taken[1]["gradient"], *each, strict=True):
            torch.testing.assert_close(found, (first + second) / 2, rtol=1e-7, atol=1e-12)
            assert torch.equal(found, also)
    for found in ranks:
        for whole, resumed in zip(found["whole"][1:], found["resumed"], strict=True):
            assert torch.equal(whole["partner"], resumed["partner"])
            assert all(map(torch.equal, whole["gradient"], resumed["gradient"]))
    first, second = ([t["partner"].tolist() for t in found["whole"]] for found in ranks)
    assert first != second
