"""The loop of timm's train.py, without its logs, its loaders and its devices; lines that featmix adds are marked with +."""

import argparse
from contextlib import nullcontext
from types import SimpleNamespace

import torch
from torch import nn

from featmix.trainers.timm import FeatMix, Mixup, add_arguments

CLASSES = 5


def arguments(*given):
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="test_resnet")
    parser.add_argument("--img-size", type=int, default=32)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--opt", default="sgd")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--stop-epoch", type=int, default=None)
    parser.add_argument("--resume", default="")
    parser.add_argument("--no-resume-opt", action="store_true")
    parser.add_argument("--model-ema", action="store_true")
    parser.add_argument("--amp", action="store_true")
    parser.add_argument("--grad-checkpointing", action="store_true")
    parser.add_argument("--grad-accum-steps", type=int, default=1)
    parser.add_argument("--mixup", type=float, default=0.0)
    parser.add_argument("--mixup-off-epoch", type=int, default=0)
    parser.add_argument("--smoothing", type=float, default=0.1)
    parser.add_argument("--bce-loss", action="store_true")
    parser.add_argument("--bce-target-thresh", type=float, default=None)
    parser.add_argument("--kd-model-name", default=None)
    add_arguments(parser)  # +
    return parser.parse_args(given)


def loader(rows=4, batches=2):
    """The same batches in each epoch."""
    generator = torch.Generator().manual_seed(7)
    return [
        (torch.rand(rows, 3, 32, 32, generator=generator), torch.randint(CLASSES, (rows,), generator=generator))
        for _ in range(batches)
    ]


def training_loss(args):
    from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy

    if args.mixup and not args.bce_loss:
        return SoftTargetCrossEntropy()
    if args.bce_loss:
        return BinaryCrossEntropy(smoothing=0.0 if args.mixup else args.smoothing, target_threshold=args.bce_target_thresh)
    return LabelSmoothingCrossEntropy(args.smoothing) if args.smoothing else nn.CrossEntropyLoss()


def main(args, output=None, *, double=False, early=False, batches=None):
    """What train.py does; ``early`` has the loss stand before the script resumes, as scripts with tasks do."""
    import timm
    from timm.models import resume_checkpoint
    from timm.optim import create_optimizer_v2
    from timm.utils import CheckpointSaver, ModelEmaV3, random_seed

    random_seed(args.seed, 0)
    model = timm.create_model(args.model, num_classes=CLASSES)
    model = model.double() if double else model
    if args.grad_checkpointing:
        model.set_grad_checkpointing(enable=True)
    optimizer = create_optimizer_v2(model, opt=args.opt, lr=0.05, momentum=0.9)
    loss_fn = FeatMix(args, model, training_loss(args), optimizer) if early else None
    start = 0
    if args.resume:
        start = resume_checkpoint(model, args.resume, optimizer=None if args.no_resume_opt else optimizer, log_info=False)
    ema = ModelEmaV3(model, decay=0.5) if args.model_ema else None
    mixup_fn = Mixup(mixup_alpha=args.mixup, label_smoothing=args.smoothing, num_classes=CLASSES) if args.mixup else None
    loss_fn = loss_fn or FeatMix(args, model, training_loss(args), optimizer)  # +
    saver = (
        None
        if output is None
        else CheckpointSaver(model, optimizer, args=args, model_ema=ema, checkpoint_dir=str(output), recovery_dir=str(output))
    )
    seen = []
    for epoch in range(start, args.stop_epoch or args.epochs):
        loss_fn.set_epoch(epoch)  # +
        if args.mixup_off_epoch and epoch >= args.mixup_off_epoch and mixup_fn is not None:
            mixup_fn.mixup_enabled = False
        seen += train_one_epoch(args, model, batches or loader(), optimizer, loss_fn, mixup_fn, ema, double=double)
        validate(model, loader())
        if saver is not None:
            saver.save_checkpoint(epoch, metric=epoch)
    return SimpleNamespace(model=model, loss_fn=loss_fn, optimizer=optimizer, ema=ema, seen=seen)


def train_one_epoch(args, model, batches, optimizer, loss_fn, mixup_fn, ema, *, double):
    model.train()
    seen = []
    optimizer.zero_grad()
    for index, (images, target) in enumerate(batches):
        if mixup_fn is not None:
            images, target = mixup_fn(images, target)
        images = images.double() if double else images
        with torch.autocast("cpu", dtype=torch.bfloat16) if args.amp else nullcontext():
            output = model(images)
            loss = loss_fn(output, target)
        (loss / args.grad_accum_steps).backward()
        mixer = loss_fn.mixer
        seen.append(SimpleNamespace(x=images, y=target, loss=loss.item(), mix=None if mixer is None else mixer.mix))
        if (index + 1) % args.grad_accum_steps == 0:
            seen[-1].gradient = [p.grad.clone() for p in model.parameters()]
            optimizer.step()
            if ema is not None:
                ema.update(model)
            optimizer.zero_grad()
    return seen


def validate(model, batches):
    model.eval()
    with torch.no_grad():
        for images, target in batches:
            nn.functional.cross_entropy(model(images.to(next(model.parameters()).dtype)), target)
