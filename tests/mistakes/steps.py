"""Mistakes in a training step: its order, its arguments, its loss."""

from tests.mistakes import Mistake

ORDER: list[Mistake] = [
    ("mixer.draw(images); mixer.draw(images)", ("Mixer.draw", "a training forward after each draw", "mixer.discard()")),
    (
        "output = model(images); mix = mixer.draw(images); mix.loss(F.cross_entropy, output, labels)",
        ("Mix.loss", "a training forward of the attached model between draw and loss"),
    ),
    (
        "mix = mixer.draw(images); model.eval(); mix.loss(F.cross_entropy, model(images), labels)",
        ("Mix.loss", "a training forward", "eval mode"),
    ),
    (
        "mix = mixer.draw(images)\nwith torch.no_grad(): output = model(images)\nmix.loss(F.cross_entropy, output, labels)",
        ("Mix.loss", "a training forward", "no_grad"),
    ),
    (
        "mix = mixer.draw(images); model(images); mix.loss(F.cross_entropy, model(images), labels)",
        ("Mix.loss: output", "with this decision", "mixer.repeat(mix)"),
    ),
    (
        "import copy; twin = copy.deepcopy(model); mix = mixer.draw(images); mix.loss(F.cross_entropy, twin(images), labels)",
        ("Mix.loss", "a copy"),
    ),
    ("mixer.draw(images); model(images[:4])", ("attach: stem", "the 6 rows that were drawn for", "got 4 rows")),
    ("mixer.remove(); mixer.remove(); mixer.draw(images)", ("Mixer.draw", "an attached mixer", "Attach again")),
    ("mixer.mix", ("Mixer.mix", "a decision", "mixer.draw(images, target=labels)")),
    ("mixer.progress = 3", ("progress", "a number in [0, 1]", "step / total steps")),
]

DRAWS: list[Mistake] = [
    ("mixer.draw(images, labels=labels)", ("Mixer.draw: labels", "mixer.draw(images, target=labels)")),
    ("mixer.draw()", ("Mixer.draw: images", "a value", "mixer.draw(images, target=labels)")),
    ("mixer.draw(images, target=labels.tolist())", ("Mixer.draw: target", "a tensor of 6 rows", "torch.tensor(target)")),
    ("mixer.draw(images, target=labels[:4])", ("Mixer.draw: target", "a tensor of 6 rows", "got shape (4,)")),
    ("mixer.draw(list(images))", ("Mixer.draw: images", "a batch, in one tensor", "stack them")),
    ("mixer.draw(images.numpy())", ("Mixer.draw: images", "a batch, in one tensor", "torch.from_numpy(x)")),
    (
        "fm.attach(network(), {'stem': fm.MoEx(memory=8)}, example=images).draw(images)",
        ("MoEx: memory", "the labels", "target="),
    ),
    ("mixer.draw(images).params['layer1']", ("Mix.params", "a site at which something is attached", "stem")),
    ("mixer.draw(images).lam", ("'lam'", "mix.own_weight", "mix.params['layer1'].lam")),
    ("mixer.draw(images).dense(labels)", ("target", "num_classes=")),
]

_STEP = "mix = mixer.draw(images); output = model(images); "
LOSSES: list[Mistake] = [
    (_STEP + "mix.loss(nn.CrossEntropyLoss, output, labels)", ("criterion", "a loss module", "CrossEntropyLoss()")),
    (_STEP + "mix.loss('cross_entropy', output, labels)", ("criterion", "torch.nn.functional.cross_entropy")),
    (
        _STEP + "mix.loss(F.cross_entropy(output, labels), output, labels)",
        ("criterion", "a loss that was computed already", "loss(criterion, output, target)"),
    ),
    (_STEP + "mix.loss(output, labels)", ("Mix.loss: target", "mix.loss(criterion, output, target)")),
    (_STEP + "mix.loss(output, labels, F.cross_entropy)", ("criterion", "loss(criterion, output, target)")),
    (_STEP + "mix.loss(F.cross_entropy, labels, output)", ("output", "loss(criterion, output, target)")),
    (_STEP + "mix.loss(F.cross_entropy, output, labels, reduction='sum')", ("reduction", "CrossEntropyLoss(reduction='sum')")),
    (
        _STEP + "mix.loss(F.cross_entropy, output, mix.dense(labels, 5))",
        ("Mix.loss: target", "twice", "criterion(output,"),
    ),
    (_STEP + "mix.loss(F.cross_entropy, output, labels + 1)", ("target", "class indices in [0, 5)", "labels - 1")),
    (_STEP + "mix.loss(F.cross_entropy, output, labels.float())", ("target", "class indices", "labels.long()")),
    (_STEP + "mix.loss(F.cross_entropy, output, labels.tolist())", ("target", "a tensor of 6 rows", "torch.tensor(target)")),
    (_STEP + "mix.loss(F.cross_entropy, output, labels[:, None])", ("target", "class indices (6,)", "labels.view(6)")),
    (
        _STEP + "mix.loss(F.binary_cross_entropy_with_logits, output, labels)",
        ("target", "the output's shape, (6, 5)", "one_hot(labels, 5).float()"),
    ),
    (
        _STEP + "mix.loss(F.mse_loss, output[:, :1], labels.float())",
        ("target", "shape, (6, 1)", "view_as(output)"),
    ),
    (_STEP + "mix.loss(F.cross_entropy, (output,), labels)", ("output", "a tensor of 6 rows", "output[0]")),
    (_STEP + "mix.loss(F.cross_entropy, {'logits': output}, labels)", ("output", "a tensor of 6 rows", "output['logits']")),
    (
        "mixer = fm.attach(network(), {'stem': fm.Mixup(lam_per='sample')}); mix = mixer.draw(images)\n"
        "mix.mixture.loss(lambda output, target: F.cross_entropy(output, target), torch.rand(6, 5), labels)",
        ("criterion", "a loss for each of the 6 samples", "reduction='none'"),
    ),
]

WARNINGS: list[Mistake] = [
    (
        "for _ in range(2):\n    mixer.draw(images, target=labels)\n    F.cross_entropy(model(images), labels).backward()",
        ("Mixer.draw", "mix.loss(criterion, output, target)", "Write loss = mix.loss(F.cross_entropy, output, labels)"),
    ),
    ("for _ in range(101): model(images[:2])", ("attach", "mixer.draw(images, target=labels)", "no draw")),
    ("mixer.loss(F.cross_entropy, model(images), labels)", ("Mixer.loss", "attach(..., auto=True)", "no draw")),
    ("fm.MoEx('in')(torch.rand(6, 5))", ("MoEx", "more than one element a mean", "choose another norm")),
]
