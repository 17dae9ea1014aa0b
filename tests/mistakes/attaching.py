"""Mistakes in saying what acts where, in data parts and in files."""

from tests.mistakes import Mistake

TREES: list[Mistake] = [
    ("fm.attach(network(), {'stem': 'moex'})", ("At: strategy", "at 'stem'", "featmix.create('moex')")),
    ("fm.attach(network(), {'stem': fm.MoEx})", ("At: strategy", "at 'stem'", "MoEx()")),
    ("fm.attach(network(), {'stem': [fm.MoEx(), fm.MixStyle()]})", ("At: strategy", "Compose([At('stem', first)")),
    ("fm.attach(network(), fm.MoEx())", ("attach: tree", "{site: strategy}", "{'layer1': MoEx(...)}")),
    ("fm.attach(network(), [fm.At('stem', fm.MoEx())])", ("attach: tree", "Compose([At('layer1', strategy), ...])")),
    ("fm.attach(network(), 'moex/imagenet-resnet50')", ("attach: tree", "featmix.preset(name)")),
    (
        "fm.attach({'stem': fm.MoEx()}, network())",
        ("attach: model", "a torch.nn.Module", "attach(model, {"),
    ),
    ("fm.attach(nn.Linear, {'input': fm.Mixup()})", ("attach: model", "a torch.nn.Module", "Linear(...)")),
    ("fm.attach(network(), fm.Pipeline(mix={'stem': fm.MoEx()}))", ("attach: tree", "pipeline.attach(model)")),
    ("fm.attach(network(), {'layr1': fm.MoEx()})", ("attach: site", "the name of a module", "Did you mean 'layer1'?")),
    ("fm.attach(network(), {0: fm.MoEx()})", ("At: site", "the name of a module", "'0'")),
    ("fm.attach(network(), {'0': fm.MoEx()})", ("attach: site", "Known: head, input, layer1")),
    ("fm.attach(network(), {'Conv2d': fm.MoEx()})", ("attach: site", "a class", "'stem.0', 'layer1'")),
    ("fm.attach(network(), {'stem[0]': fm.MoEx()})", ("attach: site", "Did you mean 'stem.0'")),
    ("fm.attach(network(), {'inputs': fm.CutMix()})", ("attach: site", "Did you mean 'input'?")),
    ("fm.attach(model, {'layer1': fm.MoEx()})", ("attach: model", "that nothing is attached to", "compose both in one tree")),
    ("fm.attach(network(), {'input': fm.Mixup(inplace=True)})", ("'input'", "leaves its input as it is", "inplace=True")),
    ("fm.attach(network(), {'stem': fm.CutMix()}).draw(images)", ("CutMix: stem", "shape", "attach(..., example=images)")),
    ("fm.attach(network(), {'stem': fm.CutMix()}, example=(6, 3, 8, 8))", ("attach: example", "torch.zeros(6, 3, 8, 8)")),
    ("fm.Compose([fm.MoEx(), fm.CutMix()])", ("Compose: members", "At, Compose", "Compose([At('layer1', strategy), ...])")),
    (
        "fm.Compose(fm.At('stem', fm.MoEx()), fm.At('input', fm.CutMix()))",
        ("Compose: members", "in a list", "Compose([At('layer1', strategy), ...])"),
    ),
    ("fm.OneOf({'stem': fm.MoEx()})", ("OneOf: members", "in a list", "OneOf([At('layer1', strategy), ...])")),
    ("fm.OneOf([fm.At('stem', fm.MoEx())], weights=[1, 2])", ("OneOf: weights", "1 number")),
    ("fm.At(fm.MoEx(), 'stem')", ("At: site", "the name of a module", "At('layer1', strategy)")),
    ("fm.manifold_mixup('layer1')", ("sites", "in a list", "got 'layer1'")),
]

PIPELINES: list[Mistake] = [
    ("fm.Pipeline(batch=fm.CutMix())", ("Pipeline: batch", "its own label", "mix={'input': fm.CutMix(...)}")),
    ("fm.Pipeline({'stem': fm.MoEx()})", ("Pipeline", "arguments by name", "Pipeline(sample=..., batch=..., mix=...)")),
    ("fm.Pipeline(mix=fm.MoEx())", ("tree", "{site: strategy}", "{'layer1': MoEx(...)}")),
    ("fm.Pipeline(sample=[abs])", ("Pipeline: sample", "a transform", "Compose")),
    (
        "fm.Pipeline(batch=torch.neg, mix={'stem': fm.MoEx()}).attach(network()).draw(images)",
        ("Mixer.draw: images", "what prepare gave back", "mixer.prepare(images)"),
    ),
]

FILES: list[Mistake] = [
    ("fm.load('nowhere.yaml')", ("nowhere.yaml", "a file that can be read", "No such file")),
    ("torch.save({}, 'a.pt'); fm.load('a.pt')", ("a.pt", "UTF-8", "torch.load")),
    ("open('a.yaml', 'w').write('mix: {layer1: moex}'); fm.load('a.yaml')", ("mix", "sites: {layer1: {name: moex}}")),
    (
        "open('a.yaml', 'w').write('strategy: {name: moex, alpha: 0.4}'); fm.load('a.yaml')",
        ("a.yaml: strategy.alpha", "a setting of MoEx", "Did you mean 'lam'?"),
    ),
    ("fm.save('a.yaml', fm.MoEx())", ("save: path", "the path of a file", "save(thing, path)")),
    ("fm.save(mixer, 'a.yaml')", ("save: thing", "mixer.tree", "mixer.state_dict()")),
    ("fm.save(model, 'a.yaml')", ("a.yaml", "torch.save(model.state_dict(), path)")),
    ("mixer.load_state_dict(model.state_dict())", ("Mixer.load_state_dict: state", "mixer.state_dict()")),
    ("fm.testing.check_strategy('moex')", ("subject", "a Strategy", "featmix.create('moex')")),
    ("fm.testing.check_strategy(fm.normalizer('in'))", ("check_strategy: strategy", "Use check_normalizer")),
    ("fm.testing.check_strategy(fm.MoEx(), only=['replays'])", ("check: law", "Did you mean 'replay'")),
]
