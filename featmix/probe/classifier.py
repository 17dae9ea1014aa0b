"""The probe itself: multinomial logistic regression on standardized values."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from featmix.probe.parts import Table
from featmix.support.extras import imported

_STEPS = 100
_PENALTY = 1e-2  # C of scikit-learn: there are often more values than samples


def probe_accuracy(train: Table, labels: npt.NDArray[np.int64], test: Table, test_labels: npt.NDArray[np.int64]) -> float:
    """Return the test accuracy of a linear classifier.

    Values are standardized with mean and deviation of the training samples, then fitted by logistic regression with an L2
    penalty.

    Args:
        train: Training samples ``(N, D)``.
        labels: Their labels ``(N,)``.
        test: Test samples ``(M, D)``.
        test_labels: Their labels ``(M,)``.

    Example:
        >>> x, y = np.eye(4, dtype=np.float32).repeat(5, 0), np.arange(4).repeat(5)
        >>> probe_accuracy(x, y, x, y)
        1.0
    """
    linear: Any = imported("sklearn.linear_model", subject="probe", install="featmix[compare]")
    mean, std = train.mean(0), train.std(0)
    kept = std > 1e-6 * np.maximum(np.abs(mean), 1e-6)  # what is the same for all samples tells nothing
    if not kept.any():
        return float((test_labels == np.bincount(labels).argmax()).mean())
    scaled = [(table[:, kept] - mean[kept]) / std[kept] for table in (train, test)]
    model = linear.LogisticRegression(C=_PENALTY, max_iter=_STEPS, tol=1e-3)
    limits: Any = imported("threadpoolctl", subject="probe", install="featmix[compare]")
    with warnings.catch_warnings(), limits.threadpool_limits(1):  # threads of small products wait for each other
        warnings.simplefilter("ignore")  # of steps that ran out: the last one is good enough to compare by
        model.fit(scaled[0], labels)
    return float((model.predict(scaled[1]) == test_labels).mean())
