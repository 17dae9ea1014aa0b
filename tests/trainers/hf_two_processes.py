"""What two processes do that are spawned for it: the Trainer and Accelerate over gloo, run through and resumed."""

import os
import socket
import warnings
from pathlib import Path

import torch
from torch.nn import functional as F

import featmix as fm

TREE = {"input": fm.CutMix(), "vit.layers.0": fm.MoEx("pono", lam=0.7)}
ROWS, SIZE, PARTS, RANKS = 19, 2, 2, 2


def spawn(folder):
    """Run both processes, which leave what they found in a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(process, (port, str(folder)), nprocs=RANKS)


def process(rank, port, folder):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(RANKS), "LOCAL_WORLD_SIZE": str(RANKS)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    warnings.simplefilter("error", fm.errors.FeatmixWarning)
    folder = Path(folder)
    found = {"trainer": with_trainer(folder), "accelerate": with_accelerate(folder)}
    torch.save(found, folder / f"found_{rank}.pt")
    torch.distributed.destroy_process_group()


def with_trainer(folder):
    from featmix.trainers.transformers import FeatMixCallback
    from tests.trainers.hf_networks import pictures, transformers, vit, weights
    from tests.trainers.hf_running import trainer

    class Told(FeatMixCallback):
        def _check_step(self):
            drawn.append(self.mixer.mix.params["input"].partner)
            super()._check_step()

    found = {}
    # The last step has one part in each process, and that of the second has one row only.
    settings = {"per_device_train_batch_size": SIZE, "gradient_accumulation_steps": PARTS, "ddp_backend": "gloo"}
    settings |= {"accelerator_config": {"even_batches": False}, "ddp_find_unused_parameters": False}
    for name, kept in (
        ("through", {"save_strategy": "steps", "save_steps": 1}),
        ("apart", {"average_tokens_across_devices": False}),
    ):
        drawn, model = [], vit()
        trainer(model, pictures(ROWS), folder / name, Told(TREE), **settings, **kept).train()
        found[name] = weights(model), drawn
    drawn, saved = [], folder / "through" / "checkpoint-2"
    model = transformers.ViTForImageClassification.from_pretrained(saved)
    trainer(model, pictures(ROWS), folder / "resumed", Told(TREE), **settings).train(str(saved))
    found["resumed"] = weights(model), drawn
    return found


def with_accelerate(folder):
    from accelerate import Accelerator

    from featmix.trainers.accelerate import attach
    from tests.trainers.hf_networks import batch, forget, pictures, vit, weights

    def run(*, first, saved=None, save_at=None, before=True):
        forget()
        accelerator, model = Accelerator(cpu=True, gradient_accumulation_steps=PARTS), vit()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        given = {"generator": torch.Generator().manual_seed(5 + accelerator.process_index)}
        if before:
            mixer = attach(accelerator, model, TREE, **given)
            model, optimizer = accelerator.prepare(model, optimizer)
        else:
            model, optimizer = accelerator.prepare(model, optimizer)
            mixer = attach(accelerator, model, TREE, **given)
        if saved:
            accelerator.load_state(saved)
        drawn, rows = [], pictures(ROWS)[accelerator.process_index :: RANKS]
        for step in range(first, 4):
            inputs = batch(rows[SIZE * step : SIZE * (step + 1)])
            with accelerator.accumulate(model):
                output = model(pixel_values=inputs["pixel_values"]).logits
                accelerator.backward(mixer.loss(F.cross_entropy, output, inputs["labels"]))
                drawn.append(mixer.mix.params["input"].lam)
                optimizer.step()
                optimizer.zero_grad()
            if step == save_at:
                accelerator.save_state(str(folder / "accelerate"))
        return weights(model), drawn

    return {
        "through": run(first=0, save_at=1),
        "after prepare": run(first=0, before=False),
        "resumed": run(first=2, saved=str(folder / "accelerate"), before=False),
    }
