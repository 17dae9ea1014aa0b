"""What is mixed at the input is what ``draw`` was given; a container says by names what that is."""

from collections import UserDict, namedtuple

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import featmix as fm
from tests.attaching import images, labels

Batch = namedtuple("Batch", "image target")


class Two(nn.Module):
    """Takes a condition and an image of the same shape, and remembers what came."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 5)

    def forward(self, cond, img, labels=None, **more):
        self.cond, self.img, self.labels, self.more = cond, img, labels, more
        return self.head(img.mean((2, 3)).float())


class Keywords(nn.Module):
    """Takes a batch as trainers give it: keyword arguments, or one dictionary."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(3, 5)

    def forward(self, batch=None, **given):
        self.given = given if batch is None else batch
        pixels = next(v for k, v in self.given.items() if k in ("pixel_values", "img"))
        return self.head(pixels.mean((2, 3)))


def mixed(x, mix):
    return fm.Mixup().transform(x, mix.params["input"])


def other(dtype=torch.float32):
    return torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(9)).to(dtype)


@pytest.mark.parametrize("kept", ["itself", "detached", "named"])
def test_the_tensor_that_was_drawn_for_is_mixed_and_not_the_first_of_its_shape(kept):
    model, x, cond = Two(), images(), other()
    with fm.attach(model, {"input": fm.Mixup()}, seed=0) as mixer:
        mix = mixer.draw(x)
        given = x.detach() if kept == "detached" else x
        output = model(cond, img=given) if kept == "named" else model(cond, given)
        assert torch.equal(model.img, mixed(x, mix))
        assert model.cond is cond
        mix.loss(F.cross_entropy, output, labels())


def test_two_tensors_that_may_both_be_it_are_refused_and_input_says_which():
    x, cond = images(), other()
    with fm.attach(Two(), {"input": fm.Mixup()}) as mixer:
        mixer.draw(x)
        with pytest.raises(fm.FeatmixError, match=r"got argument 0, argument 1, of one shape.*input=\.\.\."):
            mixer._root(cond, x.clone())
    for said in ("img", 1):
        model = Two()
        with fm.attach(model, {"input": fm.Mixup()}, input=said) as mixer:
            mix = mixer.draw(x)
            model(cond, x.clone())
            assert torch.equal(model.img, mixed(x, mix))
            assert model.cond is cond
            mix = mixer.draw((cond, x))
            model(img=x.clone(), cond=cond)
            assert torch.equal(model.img, mixed(x, mix))


def test_a_freed_tensor_is_not_taken_for_another_at_its_address():
    model, cond = Two(), other()
    with fm.attach(model, {"input": fm.Mixup()}) as mixer:
        mixer.draw(images())  # freed at once: what comes next may lie where it lay
        with pytest.raises(fm.FeatmixError, match="of one shape"):
            model(images(), cond)


def test_one_tensor_in_two_places_is_mixed_in_both():
    """The target of a reconstruction is the image that was mixed."""
    model, x = Two(), images()
    with fm.attach(model, {"input": fm.Mixup()}) as mixer:
        mix = mixer.draw(x)
        model(other(), x, labels=x)
        assert torch.equal(model.labels, mixed(x, mix))
        assert model.labels is model.img
    with fm.attach(model, {"input": fm.Mixup()}, input="img") as mixer:
        mixer.draw(x)
        model(other(), x, labels=x)
        assert model.labels is x
        assert not torch.equal(model.img, x)


def test_shape_and_dtype_tell_where_the_tensor_is_another():
    model, x = Two(), images()
    with fm.attach(model, {"input": fm.Mixup()}) as mixer:
        mix = mixer.draw(x)
        model(torch.ones(6, 3, 8, 8).long(), x.clone())  # a mask of that shape is no image
        assert torch.equal(model.img, mixed(x, mix))
        mix = mixer.draw(x)
        model(torch.zeros(6, 7), x.double())
        assert torch.allclose(model.img.float(), mixed(x, mix), atol=1e-5)
        mix = mixer.draw(x.byte())
        model(torch.zeros(6, 7), x)
        assert torch.equal(model.img, mixed(x, mix))
        mixer.draw(x)
        with pytest.raises(fm.FeatmixError, match=r"samples of shape \(3, 8, 8\) among the model's arguments, got none"):
            model(torch.ones(6, 3, 8, 8).long(), images(size=4))
        mixer.draw(x)
        with pytest.raises(fm.FeatmixError, match="argument 0, argument 1, of one shape"):
            model(other(torch.float64), x.clone())  # either may be the batch, cast on the way


def test_the_target_of_a_reconstruction_is_not_taken_for_the_input():
    """The batch is cast on the way, and what was drawn for goes in as the label."""
    model, x = Two(), images()
    for call in (lambda: model(None, x.double(), labels=x), lambda: model(None, x.double(), x)):
        with fm.attach(model, {"input": fm.Mixup()}) as mixer:
            mix = mixer.draw(x)
            call()
            assert torch.allclose(model.img.float(), mixed(x, mix), atol=1e-5)
            assert model.labels is x


@pytest.mark.parametrize("kind", [dict, UserDict])
@pytest.mark.parametrize("name", ["images", "pixel_values", "input_values", "inputs_embeds"])
def test_of_a_dictionary_with_labels_first_the_batch_is_taken(kind, name):
    x, soft = images(), torch.eye(6)
    batch = kind({"labels": soft, "weights": torch.rand(6, 2), name: x})
    with fm.attach(Two(), {"input": fm.Mixup()}) as mixer:
        mix = mixer.draw(batch)
        mixer._root(soft, x)
        assert torch.equal(mixer._root.img, mixed(x, mix))
        assert mixer._root.cond is soft


def test_keyword_arguments_with_soft_labels_of_the_images_shape():
    model, x = Keywords(), images()
    with fm.attach(model, {"input": fm.Mixup()}) as mixer:
        batch = {"labels": other(), "pixel_values": x}
        for call in (lambda: model(**batch), lambda: model(batch), lambda: model(batch=batch)):
            mix = mixer.draw(batch)
            call()
            assert torch.equal(model.given["pixel_values"], mixed(x, mix))
            assert model.given["labels"] is batch["labels"]
        assert batch["pixel_values"] is x


@pytest.mark.parametrize("said", ["img", "pixel_values"])
def test_input_names_a_key_of_a_dictionary(said):
    model, x = Keywords(), images()
    batch = {"reference": other(), said: x, "labels": labels()}
    with fm.attach(model, {"input": fm.Mixup()}, input=said) as mixer:
        mix = mixer.draw(batch)
        model(**{k: v.clone() for k, v in batch.items()})
        assert torch.equal(model.given[said], mixed(x, mix))
        assert torch.equal(model.given["reference"], other())
        mix = mixer.draw(batch)
        model({k: v.clone() for k, v in batch.items()})
        assert torch.equal(model.given[said], mixed(x, mix))


BATCHES = {
    "what a loader gives": lambda x: [x, labels()],
    "arguments": lambda x: (x,),
    "arguments with labels": lambda x: (x, labels()),
    "named tuple with soft labels": lambda x: Batch(image=x, target=torch.eye(6)),
    "one floating entry": lambda x: {"ids": labels(), "image": x, "target": torch.eye(6)},
    "nested": lambda x: ({"labels": torch.eye(6), "pixel_values": x}, labels()),
}


@pytest.mark.parametrize("form", BATCHES)
def test_containers_that_are_clear(form):
    x = images()
    with fm.attach(nn.Conv2d(3, 4, 1), {"input": fm.CutMix(p=1.0)}) as mixer:
        assert mixer.draw(BATCHES[form](x)).params["input"].sizes == (8, 8)


UNCLEAR = {
    "a list of images": (lambda: list(images(4)), r"got a list of 4 tensors, the first of shape \(3, 8, 8\)\. .*stack them"),
    "a list of one image": (lambda: [images(1)[0]], "list of 1 tensors"),
    "a list of images and their targets": (lambda: (list(images(3)), [{"labels": labels(2)}] * 3), "list of 3 tensors"),
    "two views": (lambda: (images(), other()), r"got argument 0 \(6, 3, 8, 8\), argument 1 .*input="),
    "entries without a usual name": (lambda: {"a": images(), "b": other()}, r"got a \(6, 3, 8, 8\), b .*input="),
    "two modalities": (lambda: {"pixel_values": images(), "input_values": torch.rand(6, 9)}, "got pixel_values .*input="),
    "labels alone": (lambda: {"labels": torch.eye(6)}, "expected a batch"),
    "ids": (lambda: {"input_ids": torch.zeros(6, 4).long(), "labels": labels()}, "expected a batch"),
    "nothing": (lambda: {}, "expected a batch.*got dict"),
}


@pytest.mark.parametrize("form", UNCLEAR)
def test_containers_that_are_not_clear_are_refused(form):
    make, message = UNCLEAR[form]
    with fm.attach(nn.Conv2d(3, 4, 1), {"input": fm.Mixup()}) as mixer, pytest.raises(fm.FeatmixError, match=message):
        mixer.draw(make())


def test_a_list_of_images_is_refused_where_only_hidden_layers_are_mixed():
    with fm.attach(Two(), {"head": fm.Mixup()}) as mixer:
        with pytest.raises(fm.FeatmixError, match="list of 4 tensors"):
            mixer.draw(list(images(4)))
        assert len(mixer.draw((list(images(4)), labels(4))).mixture) == 4  # the labels tell


def test_for_hidden_layers_any_tensor_tells_the_number_of_rows():
    with fm.attach(Two(), {"head": fm.Mixup()}) as mixer:
        for batch in ({"input_ids": torch.zeros(6, 4).long(), "labels": labels()}, (images(), other()), {"x": labels()}):
            assert len(mixer.draw(batch).mixture) == 6
            mixer.discard()
        with pytest.raises(fm.FeatmixError, match="expected a batch"):
            mixer.draw((images(4), other()))


@pytest.mark.parametrize("bad", [True, -1, "", 1.0, ["img"]])
def test_what_names_no_argument_is_refused(bad):
    with pytest.raises(fm.FeatmixError, match="attach: input: expected the name of an argument, a key, or a position"):
        fm.attach(Two(), {"input": fm.Mixup()}, input=bad)


def test_a_name_that_is_not_there_is_refused_with_the_nearest():
    with fm.attach(Keywords(), {"input": fm.Mixup()}, input="imgs") as mixer:
        with pytest.raises(fm.FeatmixError, match=r"'imgs' in it.*Did you mean 'img'"):
            mixer.draw({"img": images(), "labels": labels()})
        mixer.draw(images())
        with pytest.raises(fm.FeatmixError, match="the argument 'imgs', got none of that name"):
            mixer._root(img=images())


def test_under_checkpointing_of_the_whole_model_the_same_argument_is_mixed_again():
    from torch.utils.checkpoint import checkpoint

    gradients = []
    for wrapped in (False, True):
        torch.manual_seed(0)
        model, x, cond = Two(), images().requires_grad_(), other()
        with fm.attach(model, {"input": fm.Mixup(alpha=1.0)}, seed=0) as mixer:
            mix = mixer.draw(x)
            output = checkpoint(model, cond, x, use_reentrant=False) if wrapped else model(cond, x)
            mix.loss(F.cross_entropy, output, labels()).backward()
        gradients.append(x.grad)
    assert torch.allclose(*gradients)


def test_inside_a_compiled_step():
    torch._dynamo.reset()
    x, cond = images(), other()
    for said, graphs in (("img", 1), (None, None)):
        eager, traced = Two(), Two()
        traced.load_state_dict(eager.state_dict())
        mixers = [fm.attach(m, {"input": fm.Mixup()}, seed=3, input=said) for m in (eager, traced)]

        @torch.compile(backend="eager", fullgraph=graphs == 1)
        def step(cond, x, traced=traced):
            return traced(cond, x) * 1.0

        for _ in range(3):
            losses = [m.draw(x).loss(F.cross_entropy, c(cond, x), labels()) for m, c in zip(mixers, (eager, step), strict=True)]
            assert torch.allclose(*losses)


def test_a_pipelines_example_and_batch_are_chosen_alike():
    model, x = Two(), images()
    pipeline = fm.Pipeline(batch=lambda batch: batch * 2, mix={"input": fm.Mixup()})
    mixer = pipeline.attach(model, example=(other(), x), input="img")
    prepared = mixer.prepare(x)
    mix = mixer.draw((other(), prepared))
    model(other(), prepared)
    assert torch.equal(model.img, mixed(x * 2, mix))
    mixer.prepare(x)
    with pytest.raises(fm.FeatmixError, match="what prepare gave back"):
        mixer.draw((other(), x))
