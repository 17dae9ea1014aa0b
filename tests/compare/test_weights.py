import pytest
import torch
from safetensors.torch import save_file

from featmix.compare.network import SmallResNet
from featmix.compare.settings import Settings
from featmix.compare.training import make_network
from featmix.compare.weights import fingerprint, load_weights, read_weights
from featmix.errors import FeatmixError


@pytest.fixture
def written(tmp_path):
    """The same weights in three kinds of files."""
    torch.manual_seed(5)
    state = SmallResNet(10, 2).state_dict()
    save_file(state, tmp_path / "net.safetensors")
    torch.save(state, tmp_path / "net.pt")
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, tmp_path / "trained.pth")
    return tmp_path, state


@pytest.mark.parametrize("file", ["net.safetensors", "net.pt", "trained.pth"])
def test_weights_come_from_the_file_whatever_the_seed(written, file):
    folder, state = written
    for seed in (0, 1):
        network = make_network(Settings(width=2, weights=str(folder / file)), 10, seed)
        assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


def test_the_last_layer_stays_new_for_other_classes(written):
    folder, state = written
    network = SmallResNet(4, 2)
    before = network.head.weight.clone()
    assert load_weights(network, folder / "net.pt", 4) == ["head.weight", "head.bias"]
    assert torch.equal(network.head.weight, before)
    assert torch.equal(network.layer1.conv1.weight, state["layer1.conv1.weight"])


def test_weights_that_do_not_fit_are_counted_and_refused(written):
    folder, state = written
    with pytest.raises(FeatmixError, match=r"of another shape \(stem\.0\.weight \(2, 3, 3, 3\) for \(3, 3, 3, 3\)"):
        load_weights(SmallResNet(10, 3), folder / "net.pt", 10)
    torch.save({name: value for name, value in state.items() if "stem" not in name}, folder / "torn.pt")
    with pytest.raises(FeatmixError, match=r"5 missing \(stem"):
        load_weights(SmallResNet(10, 2), folder / "torn.pt", 10)
    torch.save({**state, "more": torch.zeros(1)}, folder / "more.pt")
    with pytest.raises(FeatmixError, match=r"1 too many \(more\)"):
        load_weights(SmallResNet(10, 2), folder / "more.pt", 10)


class Evil:
    def __reduce__(self):
        return exec, ("raise SystemExit('this ran')",)


def test_a_file_of_weights_runs_nothing(tmp_path):
    torch.save({"a": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(FeatmixError, match="which holds other things and may run code"):
        read_weights(tmp_path / "evil.pt")
    for name in ("none.pt", "none.safetensors"):
        (tmp_path / name).write_bytes(b"nonsense")
        with pytest.raises(FeatmixError, match="compare: weights: expected a file of"):
            read_weights(tmp_path / name)
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(FeatmixError, match="tensors by name"):
        read_weights(tmp_path / "list.pt")
    with pytest.raises(FeatmixError, match="on this machine"):
        read_weights(tmp_path / "missing.pt")


def test_the_fingerprint_is_of_the_content(written):
    folder, state = written
    before = fingerprint(folder / "net.pt")
    torch.save({**state, "stem.0.weight": state["stem.0.weight"] + 1}, folder / "net.pt")
    assert fingerprint(folder / "net.pt") != before
