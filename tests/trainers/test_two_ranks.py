"""Two processes under DDP: exact, and exact again after a resume."""

import socket

import torch

from tests.trainers.ranks import worker


def test_two_ranks_train_as_by_hand_and_resume_bit_for_bit(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(worker, (str(tmp_path), port), nprocs=2)
