"""Two processes under DDP: exact, and exact again after a resume."""

import torch

from tests.trainers.ranks import worker


def test_two_ranks_train_as_by_hand_and_resume_bit_for_bit(tmp_path):
    torch.multiprocessing.spawn(worker, (str(tmp_path),), nprocs=2)
