from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from featmix.show import look
from featmix.testing.instances import every_default

IMAGES = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


def network(**layers):
    torch.manual_seed(0)
    conv = lambda a, b: nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(inplace=True))  # noqa: E731
    parts = OrderedDict(stem=conv(3, 8), layer1=conv(8, 8), drop=nn.Dropout(0.5), layer2=conv(8, 12), **layers)
    return nn.Sequential(parts)


def features(model, x, *names):
    """What some layers return, in eval mode."""
    model, kept = model.eval(), {}
    for name, layer in model.named_children():
        x = layer(x)
        kept[name] = x.clone()
    return [kept[name] for name in names]


def step_of(tree, model, **settings):
    return look(tree, images=IMAGES, labels=LABELS, count=6, model=model, **settings)


def test_maps_are_those_of_the_hidden_layer_and_its_partners():
    model = network()
    (site,) = step_of({"stem": fm.MoEx("pono")}, model).sites
    (x,) = features(model, IMAGES, "stem")
    assert site.acts
    assert torch.allclose(site.before.mean, x.mean(1), atol=1e-6)
    assert torch.allclose(site.before.std, x.std(1), atol=1e-6)
    assert not torch.equal(site.partner, torch.arange(6))
    assert torch.allclose(site.after.mean, x.mean(1)[site.partner], atol=1e-4)
    alive = x.var(1) > 1e-2  # where all channels are alike there is no deviation to scale
    assert alive.float().mean() > 0.5
    wanted = x.var(1)[site.partner].add(1e-5).sqrt() * (x.var(1) / (x.var(1) + 1e-5)).sqrt()
    assert torch.allclose(site.after.std[alive], wanted[alive], atol=1e-4)


def test_each_row_that_is_not_mixed_is_what_it_was():
    (site,) = step_of({"stem": fm.MoEx(p=0.5, per="sample")}, network(), seed=1).sites
    still = site.partner == torch.arange(6)
    assert 0 < still.sum() < 6
    assert torch.equal(site.after.mean[still], site.before.mean[still])
    assert not torch.isclose(site.after.mean[~still], site.before.mean[~still]).flatten(1).all(1).any()


def test_labels_are_composed_in_the_order_of_the_forward_pass():
    tree = {"layer2": fm.Mixup(alpha=1.0), "input": fm.CutMix(), "stem": fm.MoEx(lam=0.8), "layer1": fm.MixStyle(p=1.0)}
    step = step_of(tree, network())
    assert [site.place for site in step.sites] == ["stem", "layer1", "layer2"]
    stem, layer1, layer2 = step.sites
    assert torch.equal(stem.labels_before.matrix(), step.at_input.matrix())
    exchanged = 0.8 * torch.eye(6) + 0.2 * torch.eye(6)[stem.partner]
    assert torch.allclose(stem.labels_after.matrix(), exchanged @ step.at_input.matrix(), atol=1e-6)
    for place in (layer1.labels_before, layer1.labels_after, layer2.labels_before):
        assert torch.equal(place.matrix(), stem.labels_after.matrix())
    assert torch.equal(layer2.labels_after.matrix(), step.mixture.matrix())
    assert not torch.allclose(step.mixture.matrix(), stem.labels_after.matrix())


def test_it_is_the_decision_that_a_mixer_applies():
    tree, model = {"input": fm.CutMix(), "stem": fm.MoEx(), "layer2": fm.CutMix()}, network()
    step = step_of(tree, model, seed=3)
    with fm.attach(model, tree, example=IMAGES, generator=torch.Generator().manual_seed(3)) as mixer:
        mix = mixer.draw(IMAGES, target=LABELS)
        assert torch.allclose(mix.mixture.matrix(), step.mixture.matrix(), atol=1e-6)
        assert torch.equal(tree["input"].transform(IMAGES, mix.params["input"]), step.mixed)
        assert torch.equal(mix.params["stem"].partner, step.sites[0].partner)


def test_before_is_what_reaches_the_strategy_in_the_same_forward():
    model = network()
    step = step_of({"input": fm.Mixup(), "stem": fm.MoEx(), "layer1": fm.MoEx()}, model)
    (x,) = features(model, step.mixed, "stem")
    assert torch.allclose(step.sites[0].before.mean, x.mean(1), atol=1e-5)
    (clean,) = features(model, IMAGES, "layer1")
    assert not torch.allclose(step.sites[1].before.mean, clean.mean(1), atol=1e-3)


def test_a_layer_that_works_in_place_does_not_change_what_was_seen():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(inplace=True))
    (site,) = step_of({"0": fm.MoEx()}, model).sites
    assert torch.allclose(site.before.mean, model[0](IMAGES).mean(1), atol=1e-6)
    assert torch.allclose(site.after.mean, site.before.mean[site.partner], atol=1e-4)


def test_a_model_that_draws_in_eval_mode_is_repeatable():
    class Noisy(nn.Module):
        def forward(self, x):
            return x + torch.rand_like(x)

    model, state = nn.Sequential(nn.Conv2d(3, 8, 3), Noisy()), torch.get_rng_state()
    first, again = (step_of({"1": fm.MoEx()}, model).sites[0] for _ in range(2))
    assert torch.equal(first.before.mean, again.before.mean)
    assert torch.equal(torch.get_rng_state(), state)


def test_boxes_over_boxes_are_what_the_mixer_says_they_are():
    tree = fm.Compose([fm.At("input", fm.CutMix()), fm.At("input", fm.CutMix())])
    sources = torch.eye(6).view(6, 6, 1, 1).expand(-1, -1, 8, 8)  # who a pixel is of, in place of colours
    step = look(tree, images=sources, labels=torch.arange(6), count=6)
    assert torch.allclose(step.mixed.mean((2, 3)), step.mixture.matrix(), atol=1e-6)
    assert torch.equal(step.at_input.matrix(), step.mixture.matrix())


def test_a_layer_in_which_nothing_acts_is_seen_without_and_with_the_mixing():
    model = network()
    step = step_of({"input": fm.Mixup()}, model, site="layer1")
    (site,) = step.sites
    assert not site.acts
    for maps, images in ((site.before, IMAGES), (site.after, step.mixed)):
        (x,) = features(model, images, "layer1")
        assert torch.allclose(maps.mean, x.mean(1), atol=1e-5)
    assert torch.equal(site.labels_before.matrix(), torch.eye(6))
    assert torch.equal(site.labels_after.matrix(), step.mixture.matrix())
    pair = torch.eye(6) + torch.eye(6)[site.partner]
    assert torch.equal(site.labels_after.matrix() > 0, pair > 0)


def test_a_layer_before_the_exchange_does_not_change():
    (site,) = step_of({"layer2": fm.MoEx()}, network(), site="stem").sites
    assert torch.equal(site.before.mean, site.after.mean)
    assert torch.equal(site.labels_after.matrix(), torch.eye(6))
    assert site.partner is None


def test_only_the_site_that_is_asked_for():
    tree = {"stem": fm.MoEx(), "layer1": fm.MoEx()}
    assert [site.place for site in step_of(tree, network(), site="layer1").sites] == ["layer1"]
    assert [site.place for site in step_of({"input": fm.CutMix()}, network()).sites] == []


def test_strategies_without_partners_and_several_at_one_site():
    tree = fm.Compose([fm.At("stem", fm.DSU(p=1.0)), fm.At("layer1", fm.MoEx()), fm.At("layer1", fm.DSU(p=1.0))])
    stem, layer1 = step_of(tree, network()).sites
    assert stem.partner is None
    assert not torch.equal(stem.before.std, stem.after.std)
    assert not torch.equal(layer1.partner, torch.arange(6))


def test_calls_of_a_shared_module_are_told_apart():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.stem, self.relu = nn.Conv2d(3, 8, 3), nn.ReLU()

        def forward(self, x):
            return self.relu(self.relu(self.stem(x)) - 0.1)

    model = Twice()
    (site,) = step_of(fm.At("relu", fm.MoEx(), call=1), model).sites
    assert site.place == "relu (call 1)"
    assert torch.allclose(site.before.mean, F.relu(F.relu(model.stem(IMAGES)) - 0.1).mean(1), atol=1e-6)
    both = fm.Compose([fm.At("relu", fm.Mixup(alpha=1.0), call=1), fm.At("relu", fm.MoEx(lam=0.8), call=0)])
    first, second = step_of(both, model).sites
    assert (first.place, second.place) == ("relu (call 0)", "relu (call 1)")
    assert torch.allclose(first.labels_after.matrix(), 0.8 * torch.eye(6) + 0.2 * torch.eye(6)[first.partner])
    assert torch.equal(second.labels_before.matrix(), first.labels_after.matrix())
    assert not torch.equal(second.labels_after.matrix(), first.labels_after.matrix())


def test_tokens_form_a_grid_behind_their_prefix():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.embed, self.block = nn.Conv2d(3, 12, 2, 2), nn.Linear(12, 12)

        def forward(self, x):
            tokens = self.embed(x).flatten(2).mT
            return self.block(torch.cat([tokens.mean(1, keepdim=True), tokens], 1))

    model = Tokens()
    (site,) = step_of({"block": fm.MoEx("pono", layout="bnc", num_prefix_tokens=1)}, model).sites
    assert site.before.mean.shape == (6, 4, 4)
    assert torch.allclose(
        site.before.mean, model.block(model.embed(IMAGES).flatten(2).mT).mean(-1).unflatten(1, (4, 4)), atol=1e-6
    )
    assert torch.allclose(site.after.mean, site.before.mean[site.partner], atol=1e-4)
    (site,) = step_of({"input": fm.CutMix()}, model, site="block").sites
    assert site.before.mean.shape == (6, 1, 17)


def test_a_vision_transformer():
    import transformers  # takes seconds, which the other tests need not spend

    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    model = transformers.ViTModel(transformers.ViTConfig(**sizes, image_size=8, patch_size=2))
    name = next(name for name, _ in model.named_modules() if name.endswith(("layer.0", "layers.0")))
    (site,) = step_of({name: fm.MoEx("pono", layout="bnc", num_prefix_tokens=1)}, model).sites
    assert site.after.mean.shape == (6, 4, 4)
    assert torch.allclose(site.after.mean, site.before.mean[site.partner], atol=1e-4)


def test_a_compiled_model():
    model = network()
    plain = step_of({"stem": fm.MoEx()}, model)
    compiled = step_of({"stem": fm.MoEx()}, torch.compile(model, backend="eager"))
    assert torch.equal(plain.sites[0].after.std, compiled.sites[0].after.std)


def test_model_strategies_and_generators_stay_as_they_were():
    model, strategy = network(), fm.MoEx(memory=2)
    model.layer1.eval()
    modes = [module.training for module in model.modules()]
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    memory = repr(strategy.state_dict())
    step_of({"stem": strategy}, model)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert repr(strategy.state_dict()) == memory
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_labels_remembered_from_earlier_batches_have_names():
    model, strategy = network(), fm.MoEx(memory=4)
    with fm.attach(model, {"stem": strategy}, example=IMAGES, seed=0) as mixer:
        for _ in range(4):
            mixer.draw(IMAGES, target=LABELS)
            model(IMAGES)
    step = look({"stem": strategy}, images=IMAGES, labels=LABELS, classes=["a", "b", "c"], count=6, model=model)
    assert step.mixture.beyond is not None
    assert len(step.names) == step.mixture.matrix().shape[1] > 6
    assert set(step.names) <= {"a", "b", "c"}


def test_an_idle_step_says_so():
    step = step_of({"stem": fm.MoEx(p=0.0), "input": fm.CutMix(p=0.0)}, network())
    assert step.idle
    assert torch.equal(step.mixed, IMAGES)
    assert not step_of({"stem": fm.MoEx()}, network()).idle


def test_what_fails_leaves_the_model_alone():
    model = network()
    with pytest.raises(fm.FeatmixError, match="Did you mean 'stem'"):
        step_of({"stemm": fm.MoEx()}, model)
    model.unused = nn.ReLU()
    model.forward = lambda x: model.layer2(model.layer1(model.stem(x)))
    with pytest.raises(fm.FeatmixError, match=r"show: site: expected a module that the forward pass calls.*'unused'"):
        step_of({"input": fm.CutMix()}, model, site="unused")
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("strategy", list(every_default()), ids=lambda strategy: strategy.name)
@pytest.mark.parametrize("place", ["input", "layer1"])
def test_every_strategy_changes_what_it_acts_on(strategy, place):
    step = look({place: strategy}, images=IMAGES, labels=LABELS, site="layer1", count=6)
    (site,) = step.sites
    assert step.random_weights
    assert site.acts is (place != "input")
    assert torch.equal(step.mixed, IMAGES) is (place != "input")
    assert not torch.equal(site.before.mean, site.after.mean)
    assert torch.allclose(step.mixture.matrix().sum(1), torch.ones(6), atol=1e-5)
    assert torch.equal(step.mixture.matrix(), torch.eye(6)) is not strategy.tags.mixes_labels


def test_the_output_that_is_mixed_is_shown():
    class Twofold(nn.Module):
        def forward(self, x):
            return {"same": x, "shown": x * 2}

    class First(nn.Module):
        def forward(self, given):
            return given["same"]

    model = network(twofold=Twofold(), first=First())
    (site,) = step_of(fm.At("twofold", fm.MoEx("pono"), output="shown"), model).sites
    (x,) = features(model[:-2], IMAGES, "layer2")
    assert site.place == "twofold, output 'shown'"
    assert torch.allclose(site.before.mean, 2 * x.mean(1), atol=1e-5)
    assert torch.allclose(site.after.mean, 2 * x.mean(1)[site.partner], atol=1e-3)


def test_maps_are_of_the_axes_that_the_model_says_it_has():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.head = nn.Linear(3, 5), nn.Linear(5, 3)

        def forward(self, x):
            return self.head(self.fc(x.permute(0, 2, 3, 1)).mean((1, 2)))

    torch.manual_seed(0)
    model = Last()
    (site,) = step_of({"fc": fm.MoEx("pono")}, model).sites
    before = model.fc(IMAGES.permute(0, 2, 3, 1))
    assert torch.allclose(site.before.mean, before.mean(3), atol=1e-5)
    assert torch.allclose(site.after.mean, before.mean(3)[site.partner], atol=1e-5)
