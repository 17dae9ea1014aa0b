import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from featmix.sampling.draws import stream
from featmix.strategies.memory import Memory


def batches(count, size=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [(torch.randn(size, 3, 6, 6, generator=g), torch.randint(5, (size,), generator=g)) for _ in range(count)]


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 16, 5))


def attached(memory=6, **settings):
    model = net()
    return model, fm.attach(model, {"0": fm.MoEx("in", memory=memory, **settings)}, example=batches(1)[0][0], seed=0)


def remembered(mixer):
    return {name.removeprefix("_memory."): value for name, value in mixer.state_dict()["strategies"]["0"].items()}


def test_a_batch_of_one_takes_moments_and_label_of_an_earlier_sample():
    moex = fm.MoEx("in", lam=0.7, memory=3, num_classes=5)
    (first, one), (second, two) = batches(2, size=1)
    y, soft = moex(first, one)
    torch.testing.assert_close(y, first)  # nothing is remembered yet, and a batch of one is its own partner
    torch.testing.assert_close(soft, F.one_hot(one, 5).float())
    y, soft = moex(second, two)
    kept, own = moex.normalizer.moments(first), moex.normalizer.moments(second)
    torch.testing.assert_close(y, (second - own.mean) / own.std * kept.std + kept.mean)
    torch.testing.assert_close(soft, 0.7 * F.one_hot(two, 5) + 0.3 * F.one_hot(one, 5))


def test_labels_in_a_model_are_those_of_the_samples_taken_from():
    model, mixer = attached(lam=0.6)
    seen: list[tuple[torch.Tensor, int]] = []
    for x, y in batches(6):
        mix = mixer.draw(x, target=y)
        own = fm.normalizer("in").moments(model[0].forward(x)).mean  # by .forward, past the hook
        params = mix.params["0"]
        mix.loss(F.cross_entropy, model(x), y).backward()
        if seen:
            assert params.remembered.all()
            for i in range(2):
                source = next(label for mean, label in seen if torch.allclose(mean, params.mean[i], atol=1e-6))
                expected = 0.6 * F.one_hot(y[i], 5) + 0.4 * F.one_hot(torch.tensor(source), 5)
                torch.testing.assert_close(mix.dense(y, 5)[i], expected)
        else:
            assert not params.remembered.any()
        seen += list(zip(own.detach(), y.tolist(), strict=True))


def test_only_the_last_samples_are_remembered():
    _, mixer = attached(memory=4)
    model = mixer._root
    for x, y in batches(5):
        mix = mixer.draw(x, target=y)
        mix.loss(F.cross_entropy, model(x), y).backward()
    kept = remembered(mixer)
    assert sorted(kept["label"][:4].tolist()) == sorted(torch.cat([y for _, y in batches(5)[3:]]).tolist())
    moex = fm.MoEx("in", memory=2, num_classes=5)
    (x, y), _ = batches(2, size=5)
    moex(x, y)  # larger than the memory: its last two rows stay
    torch.testing.assert_close(moex.state_dict()["_memory.mean"][:2], moex.normalizer.moments(x[3:]).mean[[1, 0]])


def test_a_decision_that_no_forward_takes_leaves_no_trace():
    model, mixer = attached()
    (x, y), (other, labels) = batches(2)
    mixer.draw(x, target=y)
    mixer.discard()
    assert not mixer.draw(other, target=labels).params["0"].remembered.any()
    mixer.discard()
    model.eval()
    mixer.draw(x)
    model(x)
    assert remembered(mixer)["written"].sum() == 0


def test_a_resumed_run_continues_exactly():
    def losses(model, mixer, data):
        return [mixer.draw(x, target=y).loss(F.cross_entropy, model(x), y).item() for x, y in data]

    model, mixer = attached()
    losses(model, mixer, batches(3))
    state = copy.deepcopy(mixer.state_dict())
    rest = losses(model, mixer, batches(3, seed=1))
    again, resumed = attached()
    resumed.load_state_dict(state)
    assert losses(again, resumed, batches(3, seed=1)) == rest
    _, larger = attached(memory=7)
    with pytest.raises(fm.FeatmixError, match="the state of a memory of 7"):
        larger.load_state_dict(state)


def test_a_strategys_own_state_holds_its_memory():
    """As part of a model that is saved and loaded like any other."""
    one, other = (nn.Sequential(fm.MoEx("in", memory=4, num_classes=5)) for _ in range(2))
    (x, y), (z, t) = batches(2)
    one[0](x, y)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    generator = torch.Generator()
    found = [m[0](z, t, generator=generator.manual_seed(0)) for m in (one, other)]
    assert all(map(torch.equal, *found))
    assert not torch.equal(found[0][0], z)
    assert all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))
    empty = fm.MoEx("in", memory=4).state_dict()
    one.load_state_dict({f"0.{name}": value for name, value in empty.items()})
    assert one.state_dict().keys() == {"0._memory.next"}


def test_compiled_and_checkpointed_models_remember_alike():
    from torch._dynamo.testing import CompileCounterWithBackend

    torch._dynamo.reset()
    counter = CompileCounterWithBackend("aot_eager")
    found = []
    for wrap in (lambda m: m, lambda m: torch.compile(m, backend=counter, fullgraph=True)):
        model, mixer = attached()
        called = wrap(model)
        losses = []
        for x, y in batches(5):
            loss = mixer.draw(x, target=y).loss(F.cross_entropy, called(x), y)
            loss.backward()
            losses.append(loss.item())
        found.append(losses)
    assert found[0] == pytest.approx(found[1], abs=1e-6)
    assert counter.frame_count == 1


def test_no_gradient_reaches_what_is_remembered():
    moex = fm.MoEx("in", memory=4, num_classes=5)
    (x, y), (z, t) = batches(2)
    x.requires_grad_()
    moex(x, y)
    out, _ = moex(z, t)
    assert not out.requires_grad


@pytest.mark.parametrize(
    ("target", "kind"), [(torch.rand(2, 5), "soft"), (torch.rand(2), "regression"), (torch.eye(5)[:2].long(), "one-hot")]
)
def test_any_kind_of_target_is_remembered(target, kind):
    moex = fm.MoEx("in", lam=0.5, memory=2)
    (x, _), (z, _) = batches(2)
    moex(x, target)
    _, soft = moex(z, target)
    assert soft.shape == target.shape
    assert torch.isfinite(soft).all()


def test_what_memory_needs_is_said():
    moex = fm.MoEx("in", memory=4)
    x = batches(1)[0][0]
    with pytest.raises(fm.FeatmixError, match=r"memory: .*no target.*Pass target="):
        moex(x)
    mixer = fm.attach(net(), {"0": moex})
    with pytest.raises(fm.FeatmixError, match=r"the batch size alone\. Pass attach\(\.\.\., example=images\)"):
        mixer.draw(x, target=torch.tensor([0, 1]))
    moex(x, torch.rand(2, 5))
    with pytest.raises(fm.FeatmixError, match="what is remembered"):
        moex(x, torch.rand(2, 4))
    for bad in (0, -1, 2.5, True):
        with pytest.raises(fm.FeatmixError, match="memory: expected a whole number from 1 up"):
            fm.MoEx(memory=bad)


def test_slots_are_claimed_before_they_are_written():
    memory = Memory(2, ("mean",))
    assert memory.recall(3, stream()) is None
    slots = memory.claim((4, 1, 1), torch.tensor([7, 8, 9]))
    assert slots.tolist() == [2, 1, 0]  # the first of three has no room
    assert memory.recall(3, stream()) is None  # claimed, not written
