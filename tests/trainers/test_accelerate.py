"""Accelerate in one process: before or after prepare, accumulated, in half precision, killed and resumed."""

import pytest
import torch
from torch.nn import functional as F

import featmix as fm
from featmix.trainers.accelerate import attach, register
from tests.attaching import images, labels, moex, net
from tests.trainers.hf_networks import accelerate, forgetting, weights

TREE = {"input": fm.CutMix(), "layer1": moex(lam=0.7)}


@pytest.fixture(autouse=True)
def _nothing_kept():
    yield from forgetting()


def batches():
    x, y = images(24), labels(24)
    return list(zip(x.split(6), y.split(6), strict=True))


def train(accelerator, model, optimizer, mixer, todo):
    losses = []
    for x, y in todo:
        with accelerator.accumulate(model):
            loss = mixer.loss(F.cross_entropy, model(x), y)
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
        losses.append(loss.detach())
    return torch.stack(losses)


def prepared(before=True, precision="no", **settings):
    accelerator = accelerate.Accelerator(cpu=True, mixed_precision=precision, gradient_accumulation_steps=2)
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    if before:
        mixer = attach(accelerator, model, TREE, **settings)
        model, optimizer = accelerator.prepare(model, optimizer)
    else:
        model, optimizer = accelerator.prepare(model, optimizer)
        mixer = attach(accelerator, model, TREE, **settings)
    return accelerator, model, optimizer, mixer


@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("before", [True, False])
def test_it_trains_as_a_loop_by_hand(before, precision):
    accelerator, model, optimizer, mixer = prepared(before, precision, seed=0)
    found = train(accelerator, model, optimizer, mixer, batches())
    plain = net()
    by_hand, optimizer = fm.attach(plain, TREE, seed=0), torch.optim.SGD(plain.parameters(), lr=0.1)
    for step, (x, y) in enumerate(batches()):
        mix = by_hand.draw(x, target=y)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            output = plain(x)
        loss = mix.loss(F.cross_entropy, output.float(), y)
        torch.testing.assert_close(found[step], loss.detach())
        (loss / 2).backward()
        if step % 2:
            optimizer.step()
            optimizer.zero_grad()
    torch.testing.assert_close(weights(model), weights(plain))
    x, y = batches()[0]
    output = model.eval()(x)
    assert mixer.loss(F.cross_entropy, output, y) == F.cross_entropy(output, y)
    mixer.remove()
    assert type(accelerator.unwrap_model(model)) is type(net())


def test_a_killed_run_goes_on_bit_for_bit(tmp_path):
    given = torch.Generator().manual_seed(3)  # which no seed and rank tell of
    accelerator, model, optimizer, mixer = prepared(generator=given)
    train(accelerator, model, optimizer, mixer, batches()[:2])
    mixer.progress = 0.5
    accelerator.save_state(str(tmp_path))
    rest = train(accelerator, model, optimizer, mixer, batches()[2:])

    again, resumed, optimizer, other = prepared(before=False, generator=torch.Generator())
    again.load_state(str(tmp_path))
    assert other.progress == 0.5
    assert torch.equal(rest, train(again, resumed, optimizer, other, batches()[2:]))
    assert torch.equal(weights(model), weights(resumed))

    without = accelerate.Accelerator(cpu=True)
    model = net()
    without.prepare(model, torch.optim.SGD(model.parameters(), lr=0.1))
    without.save_state(str(tmp_path / "without"))
    with pytest.raises(RuntimeError, match="Number of custom checkpoints"):
        again.load_state(str(tmp_path / "without"))


def test_what_is_handed_in_is_checked():
    with pytest.raises(fm.FeatmixError, match=r"attach: accelerator: expected an accelerate.Accelerator, got Net"):
        attach(net(), net(), TREE)
    with pytest.raises(fm.FeatmixError, match=r"register: mixer: expected what featmix.attach returned, got Net"):
        register(accelerate.Accelerator(cpu=True), net())
