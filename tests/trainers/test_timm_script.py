"""timm's training script with strategies at layers, against formulas written by hand."""

import copy

import pytest
import torch
from torch.nn import functional as F

import featmix as fm
from featmix.errors import FeatmixWarning
from featmix.mixer.stages import stages
from tests.interop.real_torchvision import torchvision_or_skip

torchvision_or_skip()  # timm imports it
timm = pytest.importorskip("timm")

from tests.trainers.timm_train import CLASSES, arguments, loader, main  # noqa: E402

MOEX = ("--featmix", "moex:lam=0.75")


@pytest.fixture(autouse=True)
def _alone():
    with torch.random.fork_rng():
        yield


def exchanged(x, partner):
    """MoEx: what is left of each position without its mean and deviation over the channels, with the partner's."""
    x = x if x.dtype == torch.float64 else x.float()
    mean, std = x.mean(1, keepdim=True), (x.var(1, keepdim=True) + 1e-5).sqrt()
    return (x - mean) / std * std[partner] + mean[partner]


def reference(model, step, loss_of, *, amp=False):
    """The loss of a model whose first stage gets what MoEx makes, by formulas alone."""
    stem = model.get_submodule(stages(model)["stem"])
    partner = step.mix.params["stem"].partner
    handle = stem.register_forward_hook(lambda _, __, output: exchanged(output, partner).to(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=amp):
        output = model(step.x)
        loss = 0.75 * loss_of(output, step.y) + 0.25 * loss_of(output, step.y[partner])
    handle.remove()
    return loss


def smoothed(output, target, smoothing=0.1):
    soft = F.one_hot(target, CLASSES).double() * (1 - smoothing) + smoothing / CLASSES
    return -(soft * F.log_softmax(output, dim=1)).sum(1).mean()


def soft(output, target):
    return -(target * F.log_softmax(output, dim=1)).sum(1).mean()


def binary(output, target):
    return F.binary_cross_entropy_with_logits(output, F.one_hot(target, CLASSES).double() * 0.9 + 0.1 / CLASSES)


@pytest.mark.parametrize(
    ("given", "loss_of"),
    [
        ((), smoothed),
        (("--smoothing", "0"), F.cross_entropy),
        (("--grad-accum-steps", "2"), smoothed),
        (("--grad-checkpointing", "--grad-accum-steps", "2"), smoothed),
        (("--mixup", "0.8"), soft),
        (("--bce-loss",), binary),
    ],
    ids=["plain", "cross entropy", "accumulation", "checkpointing", "timm's Mixup before", "binary"],
)
def test_losses_and_gradients_are_those_of_the_formula(given, loss_of):
    args = arguments(*MOEX, *given, "--epochs", "1")
    torch.manual_seed(args.seed)
    model = timm.create_model(args.model, num_classes=CLASSES).double()  # begins as the script's does
    model.train()
    run = main(args, double=True)
    steps = run.seen[: args.grad_accum_steps]
    losses = [reference(model, step, loss_of) for step in steps]
    torch.autograd.backward([loss / len(losses) for loss in losses])
    assert [step.loss for step in steps] == pytest.approx([loss.item() for loss in losses], rel=1e-7)
    for found, parameter in zip(steps[-1].gradient, model.parameters(), strict=True):
        torch.testing.assert_close(found, parameter.grad, rtol=1e-7, atol=1e-10)


def test_in_bfloat16_it_is_the_formula_to_its_rounding():
    args = arguments(*MOEX, "--amp", "--epochs", "1")
    torch.manual_seed(args.seed)
    model = timm.create_model(args.model, num_classes=CLASSES).train()
    step = main(args).seen[0]
    loss = reference(model, step, smoothed, amp=True)
    assert step.loss == pytest.approx(loss.item(), rel=1e-2)


def test_a_threshold_makes_mixed_targets_hard_as_behind_timms_own_mixup():
    args = arguments(*MOEX, "--bce-loss", "--bce-target-thresh", "0.15", "--epochs", "1")
    torch.manual_seed(args.seed)
    model = timm.create_model(args.model, num_classes=CLASSES).double().train()
    step = main(args, double=True).seen[0]
    partner = step.mix.params["stem"].partner
    one_hot = F.one_hot(step.y, CLASSES) * 0.9 + 0.1 / CLASSES
    wanted = (0.75 * one_hot + 0.25 * one_hot[partner] > 0.15).double()
    assert set(wanted.sum(1).tolist()) >= {2.0}  # the partner's label counts in full

    def hard(output, _):
        return F.binary_cross_entropy_with_logits(output, wanted)

    assert step.loss == pytest.approx(reference(model, step, hard).item(), rel=1e-7)


def test_without_the_flag_it_is_the_script_as_it_was():
    run = main(arguments("--epochs", "1"))
    assert run.loss_fn.mixer is None
    assert "featmix" not in run.optimizer.state_dict()
    assert type(run.model).__name__ == "ResNet"
    output, target = torch.randn(4, CLASSES), torch.arange(4)
    assert torch.equal(run.loss_fn(output, target), run.loss_fn.criterion(output, target))


def test_the_ema_copy_never_mixes_and_evaluation_is_plain():
    run = main(arguments(*MOEX, "--model-ema", "--epochs", "1"))
    (x, y), _ = loader()
    copied = run.ema.module.train()
    twin = timm.create_model("test_resnet", num_classes=CLASSES).train()
    twin.load_state_dict(copied.state_dict())
    torch.testing.assert_close(copied(x), twin(x), rtol=0, atol=0)
    run.model.eval()
    output = run.model(x)
    torch.testing.assert_close(run.loss_fn(output, y), smoothed(output, y).float())


def test_mixing_stops_at_the_epoch_and_goes_on_when_told():
    run = main(arguments(*MOEX, "--mixup", "0.8", "--mixup-off-epoch", "1"))
    mixed = [bool(step.mix.params["stem"].active.any()) for step in run.seen]
    assert mixed == [True, True, False, False]
    last = run.seen[-1]
    torch.testing.assert_close(last.y, F.one_hot(loader()[1][1], CLASSES) * 0.9 + 0.1 / CLASSES)
    assert run.loss_fn.mixer.progress == 0.5
    run.loss_fn.mixup_enabled = True
    run.model.train()(last.x)
    assert run.loss_fn.mixer.mix.params["stem"].active.all()


def same(first, second):
    pairs = zip(first.model.state_dict().items(), second.model.state_dict().items(), strict=True)
    return all(name == also and torch.equal(a, b) for (name, a), (also, b) in pairs)


def partners(run):
    return [step.mix.params["stem"].partner.tolist() for step in run.seen]


@pytest.mark.parametrize("early", [False, True], ids=["resumes before the loss is there", "resumes after"])
@pytest.mark.parametrize("opt", ["sgd", "lookahead_sgd"])
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, early, opt):
    settings = ("--featmix", "moex:lam=0.75", "moex@stage1:p=0.5", "--opt", opt, "--epochs", "3")
    batches = loader(rows=6)
    whole = main(arguments(*settings), early=early, batches=batches)
    main(arguments(*settings, "--stop-epoch", "1"), tmp_path, early=early, batches=batches)
    again = ("--resume", str(tmp_path / "last.pth.tar"))
    resumed = main(arguments(*settings, *again), early=early, batches=batches)
    assert partners(resumed) == partners(whole)[len(batches) :]
    assert same(resumed, whole)
    fresh = main(arguments(*settings, *again, "--no-resume-opt"), early=early, batches=batches)
    assert partners(fresh) == partners(whole)[: 2 * len(batches)]


def test_checkpoints_are_loaded_by_timm_alone_and_without_a_mixers_state(tmp_path):
    main(arguments(*MOEX, "--epochs", "1"), tmp_path)
    plain = main(arguments("--resume", str(tmp_path / "last.pth.tar")))
    assert len(plain.seen) == 2
    main(arguments("--epochs", "1"), tmp_path)
    with pytest.warns(FeatmixWarning, match="draws begin anew"):
        main(arguments(*MOEX, "--resume", str(tmp_path / "last.pth.tar")))


def test_a_task_of_timm_trains_and_resumes_with_it(tmp_path):
    from timm.task import ClassificationTask, resume_task_checkpoint
    from timm.utils import CheckpointSaver

    from featmix.trainers.timm import FeatMix

    args, batches = arguments(*MOEX), loader()

    def task_of():
        torch.manual_seed(0)
        task = ClassificationTask(timm.create_model("test_resnet", num_classes=CLASSES), criterion_kwargs={"smoothing": 0.1})
        optimizer = torch.optim.SGD(task.parameters(), lr=0.05, momentum=0.9)
        task.criterion = FeatMix(args, task.trainable_module, task.criterion, optimizer)
        return task, optimizer

    def steps(task, optimizer):
        task.train()
        losses = []
        for x, y in batches:
            losses.append(task(x, y)["loss"])
            losses[-1].backward()
            optimizer.step()
            optimizer.zero_grad()
        return torch.stack(losses).tolist()

    task, optimizer = task_of()
    steps(task, optimizer)
    CheckpointSaver(None, optimizer, args=args, task=task, checkpoint_dir=str(tmp_path)).save_checkpoint(0)
    rest = steps(task, optimizer)
    again, its_optimizer = task_of()
    assert resume_task_checkpoint(again, str(tmp_path / "last.pth.tar"), its_optimizer, log_info=False) == 1
    assert steps(again, its_optimizer) == rest


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--featmix", "moex:memory=8"), "without memory="),
        ((*MOEX, "--kd-model-name", "resnet50"), "no teacher"),
        ((*MOEX, "--featmix-site", "stam"), "stem"),
        (("--featmix", "patchup@stage1", "--bce-loss", "--bce-target-thresh", "0.2"), "weighs the loss of mixed rows"),
    ],
)
def test_what_would_train_wrongly_is_refused(given, says):
    with pytest.raises(fm.FeatmixError, match=says):
        main(arguments(*given, "--epochs", "1"))


def test_other_refusals(tmp_path):
    from timm.loss import JsdCrossEntropy

    from featmix.trainers.timm import FeatMix

    model = timm.create_model("test_resnet", num_classes=CLASSES).train()
    with pytest.raises(fm.FeatmixError, match="views of an image"):
        FeatMix(arguments(*MOEX), model, JsdCrossEntropy())
    fm.detach(model)
    args = arguments(*MOEX, "--mixup-off-epoch", "1")
    loss_fn = FeatMix(args, model, F.cross_entropy)
    x, y = loader()[0]
    with pytest.raises(fm.FeatmixError, match=r"set_epoch\(epoch\)"):
        loss_fn(model(x), y)
    fm.detach(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    with pytest.raises(fm.FeatmixError, match="before the script resumes"):
        FeatMix(arguments(*MOEX, "--resume", "auto"), model, F.cross_entropy, optimizer)
    fm.detach(model)
    with pytest.raises(fm.FeatmixError, match="torch optimizer"):
        FeatMix(arguments(*MOEX), model, F.cross_entropy, "sgd")


@pytest.mark.parametrize(
    ("spec", "says"),
    [("moex:lam=0.9@stem", "A site comes first"), ("moux", "moex"), ("moex:lam=2", "lam"), ("/data", "strategy")],
)
def test_a_spec_that_is_none_stops_the_script(spec, says, capsys):
    with pytest.raises(SystemExit):
        arguments("--featmix", spec)
    assert says in capsys.readouterr().err


def test_specs_are_text_for_the_script_and_may_come_from_its_configuration():
    args = arguments("--featmix", "moex", "cutmix@input|stage1:p=0.5")
    assert args.featmix == ["moex", "cutmix@input|stage1:p=0.5"]
    args = copy.copy(arguments())
    args.featmix = "moex@stage2:lam=0.7"  # as parser.set_defaults has it
    run = main(args)
    assert [leaf.site for leaf in run.loss_fn.mixer.tree.leaves()] == ["stage2"]
