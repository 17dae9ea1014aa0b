"""A site of several tensors: all that hold the batch are mixed alike, or the site is refused and ``output=`` says which."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter
from torch.nn import functional as F

import featmix as fm
from featmix.mixer.containers import paths
from tests.attaching import images, labels

Named = namedtuple("Named", "features skip")


class Pyramid(nn.Module):
    """The features of a U-Net's encoder, or of a backbone that returns its stages: a list of maps."""

    def __init__(self, form=list, pool=True):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.form, self.pool = form, pool

    def forward(self, x):
        first = self.one(x)
        return self.form([first, self.two(F.avg_pool2d(first, 2) if self.pool else first)])


class Recurrent(nn.Module):
    """What a recurrent layer returns: features and, beside them, states (layers, B, H)."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 5, num_layers=2, batch_first=True)

    def forward(self, x):
        return self.lstm(x.flatten(2).mT)


class Hidden(nn.Module):
    """An encoder for tokens with a pooler, as large models of text have it."""

    def __init__(self):
        super().__init__()
        self.project, self.pooler = nn.Linear(3, 8), nn.Linear(8, 8)
        self.output = pytest.importorskip("transformers.modeling_outputs").BaseModelOutputWithPooling

    def forward(self, x):
        tokens = self.project(x.flatten(2).mT)
        return self.output(
            last_hidden_state=tokens, pooler_output=torch.tanh(self.pooler(tokens[:, 0])), hidden_states=(tokens * 2, tokens)
        )


@dataclass
class Output:
    features: torch.Tensor
    loss: torch.Tensor
    table: torch.Tensor
    lengths: torch.Tensor


class Model(nn.Module):
    """An encoder and what it gave."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, x):
        self.given = self.encoder(x)
        return x.mean((2, 3))


class Returning(nn.Module):
    """A layer that returns what a function makes of its input."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def forward(self, x):
        return self.make(x)


def run(encoder, *strategies, example=None, seed=3, x=None, **how):
    """One step: what the encoder gave clean, what it gave mixed, and the decision."""
    torch.manual_seed(0)
    model, x = Model(encoder), images() if x is None else x
    model(x)
    clean = model.given
    tree = fm.Compose([fm.At("encoder", strategy, **how) for strategy in strategies])
    with fm.attach(model, tree, seed=seed, example=example) as mixer:
        target = labels(len(x)) % 3
        mix = mixer.draw(x, target=target)
        mix.loss(F.cross_entropy, model(x), target)
    return clean, model.given, mix


def refused(encoder, strategy, match, x=None, **how):
    with pytest.raises(fm.FeatmixError, match=match):
        run(encoder, strategy, x=x, **how)


def assert_all_mixed(clean, given, strategy, params):
    assert type(given) is type(clean)
    for (path, before), (_, after) in zip(paths(clean), paths(given), strict=True):
        assert torch.equal(after, strategy.transform(before, params)), path
        assert not torch.equal(after, before), path


FORMS = {
    "list": list,
    "tuple": tuple,
    "named tuple": lambda maps: Named(*maps),
    "ordered dict": lambda maps: OrderedDict(out=maps[1], aux=maps[0]),
    "nested": lambda maps: (maps[0], {"deep": [maps[1]]}),
}


@pytest.mark.parametrize("strategy", [fm.Mixup(), fm.MoEx(), fm.MoEx("in"), fm.MixStyle(p=1.0), fm.EFDMix(p=1.0)], ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_every_map_of_a_pyramid_is_mixed_by_one_decision(form, strategy):
    clean, given, mix = run(Pyramid(FORMS[form]), strategy)
    assert_all_mixed(clean, given, strategy, mix.params["encoder"])


def test_maps_of_one_resolution_take_one_box():
    strategy = fm.CutMix(p=1.0)
    x = images()
    clean, given, mix = run(Pyramid(pool=False), strategy, example=x)
    assert_all_mixed(clean, given, strategy, mix.params["encoder"])
    taken = (given[1] != clean[1]).any(1).float().mean((1, 2))
    assert torch.allclose(taken, mix.mixture.matrix().fill_diagonal_(0).sum(1))


@pytest.mark.parametrize(
    "strategy", [fm.CutMix(), fm.FMix(), fm.ResizeMix(), fm.PatchUp(), fm.CrossNorm(crop="both", p=1.0)], ids=str
)
def test_boxes_on_maps_of_several_resolutions_are_refused_at_once_and_output_selects(strategy):
    x = images()
    message = r"outputs of one resolution.*0 \(6, 4, 8, 8\), 1 \(6, 6, 4, 4\).*output=\.\.\."
    refused(Pyramid(), strategy, message, example=x)
    for index, size in ((0, 8), (1, 4), (-1, 4)):
        clean, given, mix = run(Pyramid(), strategy, example=x, output=index)
        params = mix.params["encoder"]
        assert params.sizes == (size, size)
        assert torch.equal(given[index], strategy.transform(clean[index], params))
        assert torch.equal(given[0 if size == 4 else 1], clean[0 if size == 4 else 1])


def test_boxes_that_meet_another_resolution_in_training_are_refused():
    """Where the example had one map, and training has two."""
    encoder, x = Pyramid(), images()
    model = Model(Returning(lambda x: encoder(x) if model.training else encoder(x)[:1]))
    with fm.attach(model, {"encoder": fm.CutMix(p=1.0)}, example=x) as mixer:
        mixer.draw(x)
        with pytest.raises(fm.FeatmixError, match=r"outputs that can all be mixed alike.*output="):
            model(x)


def test_blocks_for_the_channels_of_one_map_are_refused_on_another():
    refused(Pyramid(pool=False), fm.PatchUp(p=1.0), r"mixed alike \(blocks drawn for 6 channels\)", example=images())


def test_noise_for_the_channels_of_one_map_is_refused_on_another():
    refused(Pyramid(pool=False), fm.DSU(p=1.0), "mixed alike", example=images())


def test_a_map_that_has_nothing_to_exchange_beside_one_that_has():
    encoder = Returning(lambda x: [x, x.mean((2, 3), keepdim=True)])
    for strategy in (fm.MoEx("in"), fm.MixStyle(p=1.0)):
        refused(encoder, strategy, r"all have something to exchange.*\(6, 3, 1, 1\).*output=")
        clean, given, mix = run(encoder, strategy, output=0)
        assert torch.equal(given[0], strategy.transform(clean[0], mix.params["encoder"]))
        assert torch.equal(given[1], clean[1])


def test_states_beside_features_are_refused_unless_output_leaves_them():
    message = "encoder.lstm: expected output=0, the features at each step, got all outputs.*states"
    model, x = Model(Recurrent()), images()
    for how in ({}, {"output": 1}, {"output": (1, 0)}):
        with pytest.raises(fm.FeatmixError, match=message if not how else "got output="):
            fm.attach(model, fm.At("encoder.lstm", fm.Mixup(), **how))
    refused(Recurrent(), fm.Mixup(), r"6 rows of the batch along their first axis, got one of shape \(2, 6, 5\).*output=")
    clean, given, mix = run(Recurrent(), fm.Mixup(), output=0)
    assert torch.equal(given[0], fm.Mixup().transform(clean[0], mix.params["encoder"]))
    assert torch.equal(given[1][0], clean[1][0])
    refused(Recurrent(), fm.Mixup(), r"the layers of a state, got 0 \(2, 64, 5\), 1\.0 \(2, 2, 5\)", x=images(2))
    with fm.attach(model, fm.At("encoder.lstm", fm.Mixup(), output=0)) as mixer:
        mixer.draw(x)
        model(x)


@pytest.mark.parametrize(
    "layer", [nn.LSTM(3, 5), nn.GRU(3, 5), nn.MultiheadAttention(4, 1), nn.TransformerEncoderLayer(4, 1, 8)], ids=repr
)
def test_layers_that_have_the_batch_second_are_refused(layer):
    """With as many steps as samples nothing else would tell."""
    with pytest.raises(fm.FeatmixError, match=r"batch along the first axis.*batch_first=False.*batch_first=True"):
        fm.attach(Model(layer), fm.At("encoder", fm.Mixup(), output=0))


def test_packed_sequences_are_refused():
    pack = nn.utils.rnn.pack_padded_sequence
    refused(Returning(lambda x: pack(x[:, 0], torch.full((6,), 4), batch_first=True)), fm.Mixup(), "PackedSequence")


def test_an_encoder_with_a_pooler():
    strategy = fm.Mixup()
    clean, given, mix = run(Hidden(), strategy)
    assert_all_mixed(clean, given, strategy, mix.params["encoder"])
    assert given.hidden_states[1] is given.last_hidden_state is given[0]  # one tensor in two places stays one
    refused(
        Hidden(), fm.MoEx("in", layout="bnc"), r"mixed alike \(3 axes as in layout 'bnc'\).*pooler_output \(6, 8\).*output="
    )
    strategy = fm.MoEx("in", layout="bnc")
    clean, given, mix = run(Hidden(), strategy, output="last_hidden_state")
    assert torch.equal(given.last_hidden_state, strategy.transform(clean.last_hidden_state, mix.params["encoder"]))
    assert given.pooler_output.equal(clean.pooler_output)
    refused(Hidden(), strategy, "an output 'poler' to act on, got 'last_hidden_state', 'pooler_output'", output="poler")


def test_an_auxiliary_output_is_mixed_with_the_main_one():
    """A segmentation network's backbone: the auxiliary loss sees mixed features too."""
    strategy = fm.CutMix(p=1.0)
    encoder = Returning(lambda x: OrderedDict(out=x * 2, aux=x - 1))
    clean, given, mix = run(encoder, strategy, example=images())
    assert_all_mixed(clean, given, strategy, mix.params["encoder"])
    for output in ("aux", 1, ("aux",)):
        clean, given, mix = run(encoder, strategy, example=images(), output=output)
        assert torch.equal(given["aux"], strategy.transform(clean["aux"], mix.params["encoder"]))
        assert torch.equal(given["out"], clean["out"])


def test_what_holds_no_samples_passes():
    loss, table, lengths = torch.tensor(2.0), torch.rand(7, 2), torch.arange(6)
    clean, given, mix = run(Returning(lambda x: Output(x * 2, loss, table, lengths)), fm.Mixup())
    assert torch.equal(given.features, fm.Mixup().transform(clean.features, mix.params["encoder"]))
    assert given.loss is loss
    assert given.table is table
    assert given.lengths is lengths


def test_a_value_for_each_sample_that_cannot_be_mixed_is_refused():
    refused(Returning(lambda x: (x, x.mean((1, 2, 3)))), fm.Mixup(), r"mixed alike.*1 \(6,\).*output=")
    clean, given, _ = run(Returning(lambda x: (x, x.mean((1, 2, 3)))), fm.Mixup(), output=0)
    assert torch.equal(given[1], clean[1])


@pytest.mark.parametrize("output", [2, -3, "aux", (0, 1), ("out", 0)])
def test_an_output_that_is_not_there_is_refused(output):
    refused(Returning(lambda x: (x, x)), fm.Mixup(), "encoder: expected an output .* to act on, got", output=output)


def test_named_results_and_ways_of_several_steps():
    pairs = [
        (lambda x: Named(x, x + 1), "skip", (1,)),
        (lambda x: torch.max(x, 1, keepdim=True), "values", (0,)),
        (lambda x: {"maps": [x, (x - 1, x * 2)]}, ("maps", 1, -1), ("maps", 1, 1)),
    ]
    for make, output, path in pairs:
        clean, given, mix = run(Returning(make), fm.Mixup(), output=output)
        for (where, before), (_, after) in zip(paths(clean), paths(given), strict=True):
            expected = fm.Mixup().transform(before, mix.params["encoder"]) if where == path else before
            assert torch.equal(after, expected)


def test_two_strategies_that_mix_labels_act_on_the_same_outputs():
    model = Model(Pyramid())
    tree = [fm.At("encoder", fm.Mixup(), output=0), fm.At("encoder", fm.MoEx(), output=1)]
    with pytest.raises(fm.FeatmixError, match=r"mix labels to act on the same outputs.*\(0,\) and output=\(1,\)"):
        fm.attach(model, fm.Compose(tree))
    fm.attach(model, fm.Compose([tree[0], fm.At("encoder", fm.MixStyle(), output=1)])).remove()


def test_a_memory_keeps_one_tensor():
    refused(Pyramid(), fm.MoEx(memory=8), "one tensor, for a strategy that remembers", example=images())
    run(Pyramid(), fm.MoEx(memory=8), example=images(), output=1)


def test_an_input_has_no_outputs():
    with pytest.raises(fm.FeatmixError, match=r"At: site: expected a module.*input=\.\.\."):
        fm.At("input", fm.Mixup(), output=0)
    for bad in ((), "", True, 1.5, ["a", None]):
        with pytest.raises(fm.FeatmixError, match="At: output: expected an index, a name"):
            fm.At("encoder", fm.Mixup(), output=bad)


def test_gradients_and_checkpointing_of_a_pyramid():
    from torch.utils.checkpoint import checkpoint

    class Head(nn.Module):
        def __init__(self, wrapped):
            super().__init__()
            self.encoder, self.wrapped = Pyramid(), wrapped

        def forward(self, x):
            low, high = checkpoint(self.encoder, x, use_reentrant=False) if self.wrapped else self.encoder(x)
            return torch.cat([low.mean((2, 3)), high.square().mean((2, 3))], 1)

    found = []
    for wrapped in (False, True):
        torch.manual_seed(0)
        model, x = Head(wrapped), images()
        with fm.attach(model, {"encoder": fm.MoEx()}, seed=0) as mixer:
            mix = mixer.draw(x)
            mix.loss(F.cross_entropy, model(x), labels()).backward()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert torch.allclose(*found)


@pytest.mark.parametrize("form", ["list", "ordered dict", "nested"])
def test_compiled_in_one_graph(form):
    class Summed(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = Pyramid(FORMS[form])

        def forward(self, x):
            out = self.encoder(x)
            maps = [*out.values()] if isinstance(out, dict) else [out[0], out[1]["deep"][0] if form == "nested" else out[1]]
            return torch.cat([m.mean((2, 3)) for m in maps], 1)

    torch._dynamo.reset()
    torch.manual_seed(0)
    eager, traced = Summed(), Summed()
    traced.load_state_dict(eager.state_dict())
    mixers = [fm.attach(m, {"encoder": fm.MoEx(p=0.5)}, seed=5) for m in (eager, traced)]
    counter = CompileCounter()
    compiled = torch.compile(traced, backend=counter, fullgraph=True)
    x = images()
    for step in range(6):
        if step % 3 == 2:
            losses = [F.cross_entropy(called(x), labels()) for called in (eager, compiled)]
        else:
            losses = [m.draw(x).loss(F.cross_entropy, c(x), labels()) for m, c in zip(mixers, (eager, compiled), strict=True)]
        assert torch.allclose(*losses, atol=1e-6)
        losses[1].backward()
    assert counter.frame_count <= 2


@pytest.mark.parametrize("name", fm.list_strategies())
def test_every_strategy_mixes_all_of_a_tuple_or_none_of_it(name):
    """Where labels are mixed, both tensors are, or the step is refused."""
    encoder = Returning(lambda x: (x * 2, x[:, :, :6].repeat(1, 2, 1, 1)))
    strategy = fm.create(name, p=1.0)
    try:
        clean, given, mix = run(encoder, strategy, example=images())
    except fm.FeatmixError as error:
        refusal = str(error)
    else:
        assert_all_mixed(clean, given, strategy, mix.params["encoder"])
        return
    assert "output=" in refusal
