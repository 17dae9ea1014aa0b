"""A stock Trainer over rows in their order, and the loop by hand that it is compared with."""

import torch
from torch.nn import functional as F

import featmix as fm
from tests.trainers.hf_networks import batch, transformers

LR = 0.5
QUIET = {"report_to": "none", "disable_tqdm": True, "logging_strategy": "no", "use_cpu": True}
PLAIN = {"max_grad_norm": 0.0, "train_sampling_strategy": "sequential", "save_strategy": "no", "seed": 7}


def trainer(model, rows, where, mixing, *, loss=True, lr=LR, **settings):
    """A Trainer as a user makes it, with plain gradient descent."""
    args = transformers.TrainingArguments(
        str(where), **{**QUIET, **PLAIN, "per_device_train_batch_size": 3, "num_train_epochs": 1, **settings}
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    loss = mixing.loss if loss is True else loss or None
    return transformers.Trainer(
        model,
        args,
        train_dataset=rows,
        eval_dataset=rows,
        callbacks=[mixing],
        compute_loss_func=loss,
        optimizers=(optimizer, constant),
    )


def by_hand(
    model, rows, tree, *, criterion=F.cross_entropy, size=3, parts=1, epochs=1, lr=LR, given=None, found=None, autocast=False
):
    """The loop without a trainer: a draw for each part, and the gradient of the mean over all rows of its parts.

    ``criterion`` gives a loss a row.
    """
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    inputs = {name: value for name, value in batch(rows[:size]).items() if name != "labels"}
    mixer = fm.attach(model, tree, example=inputs, seed=PLAIN["seed"])
    for _ in range(epochs):
        batches = [batch(rows[first : first + size]) for first in range(0, len(rows), size)]
        for first in range(0, len(batches), parts):
            whole = batches[first : first + parts]
            count = sum(len(part["labels"]) for part in whole)
            for part in whole:
                inputs = {name: value for name, value in part.items() if name != "labels"}
                mix = mixer.draw(inputs, **(given(inputs) if given else {}))
                with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                    logits = model(**inputs).logits
                losses = mix.loss(rowwise(criterion), logits.float(), part["labels"])
                (losses.sum() / count).backward()
                if found is not None:
                    found.append(mix)
            optimizer.step()
            optimizer.zero_grad()
    mixer.remove()
    return model


def rowwise(criterion):
    class Rows(torch.nn.Module):
        reduction = "none"

        def forward(self, output, target):
            losses = criterion(output, target, reduction="none")
            return losses.flatten(1).mean(1) if losses.ndim > 1 else losses

    return Rows()
