"""Faults of what normalizers claim of themselves, with no other to compare with, and of what they do with masks."""

import torch

from featmix.normalizers.kinds import GN, IN, LN, PONO
from featmix.normalizers.moments import Moments, upcast
from featmix.testing.adapters.normalizers import ForeignNormalizer
from featmix.testing.source import remember
from tests.broken.fault import fault

POSITIONS = (2, 3)


def wide(x):
    return x.float() if x.dtype.itemsize < 4 else x


class Claimed:
    """Instance normalization of somebody's own: a location and the squares of what is left."""

    def location(self, x):
        return x.mean(POSITIONS, keepdim=True)

    def spread(self, centred):
        return centred.square().mean(POSITIONS, keepdim=True)

    def moments(self, x):
        exact = x.double()
        mean = self.location(exact)
        std = (self.spread(exact - mean) + 1e-5).sqrt()
        return mean.to(wide(x).dtype), std.to(wide(x).dtype)

    def normalize(self, x):
        mean, std = self.moments(x)
        return ((wide(x) - mean) / std).to(x.dtype)

    def denormalize(self, xh, moments):
        return (wide(xh) * moments[1] + moments[0]).to(xh.dtype)


class OfOnesOwn(ForeignNormalizer):
    """What ``from_normalizer`` makes of it, without ``like=``."""

    thing = Claimed
    divides_by_less = False

    def __init__(self):
        super().__init__(unbiased=self.divides_by_less, wrapped=self.thing(), called=type(self).__name__)
        remember(self, type(self))


class ByMedian(Claimed):
    def location(self, x):
        return x.flatten(2).median(2, keepdim=True).values.unsqueeze(3)


@fault("the median for the mean", refused_by="claims")
class MedianForMean(OfOnesOwn):
    thing = ByMedian


class ByRange(Claimed):
    def location(self, x):
        return (x.amax(POSITIONS, keepdim=True) + x.amin(POSITIONS, keepdim=True)) / 2


@fault("the middle of the range for the mean", refused_by="claims")
class MiddleOfTheRange(OfOnesOwn):
    thing = ByRange


class ByDeviation(Claimed):
    def spread(self, centred):
        return centred.abs().mean(POSITIONS, keepdim=True).square()


@fault("the mean of absolute deviations for the standard deviation", refused_by="claims")
class MeanDeviation(OfOnesOwn):
    thing = ByDeviation


@fault("says that it divides by n - 1, and divides by n", refused_by="claims")
class ClaimsUnbiased(OfOnesOwn):
    divides_by_less = True


class Weighted(Claimed):
    def location(self, x):
        return self.weighted(x)

    def spread(self, centred):
        return self.weighted(centred.square())

    def weighted(self, x):
        weight = 1 + torch.arange(x.shape[3], dtype=x.dtype)
        return (x * weight).sum(POSITIONS, keepdim=True) / (weight.sum() * x.shape[2])


@fault("counts columns more, the further to the right they are", refused_by="claims")
class WeighsColumns(OfOnesOwn):
    thing = Weighted


class Winsorized(Claimed):
    def spread(self, centred):
        squares = centred.square()
        return torch.minimum(squares, 4 * squares.mean(POSITIONS, keepdim=True)).mean(POSITIONS, keepdim=True)


@fault("cuts outliers before it takes the variance", refused_by="claims")
class CutsOutliers(OfOnesOwn):
    thing = Winsorized


@fault("divides sums over real positions by the number of all", refused_by="masked_moments")
class DividesByAll(IN):
    def moments(self, x, mask=None):
        if mask is None:
            return super().moments(x)
        real = torch.where(mask.bool().unsqueeze(1), upcast(x), 0)
        mean = real.mean(POSITIONS, keepdim=True)
        centred = torch.where(mask.bool().unsqueeze(1), real - mean, 0)
        return Moments(mean, (centred.square().mean(POSITIONS, keepdim=True) + self.eps).sqrt())


@fault("multiplies by the mask, so that a NaN in the padding stays", refused_by="masked_moments")
class MultipliesByTheMask(IN):
    def moments(self, x, mask=None):
        if mask is None:
            return super().moments(x)
        real = mask.unsqueeze(1).to(upcast(x).dtype)
        n = real.sum(POSITIONS, keepdim=True)
        mean = (upcast(x) * real).sum(POSITIONS, keepdim=True) / n.clamp(min=1)
        squares = ((upcast(x) - mean) * real).square().sum(POSITIONS, keepdim=True)
        return Moments(mean, (squares / (n - 1).clamp(min=1) + self.eps).sqrt())


@fault("normalizes by moments of all positions under a mask", refused_by="masked_moments")
class NormalizesByAll(PONO):
    def normalize(self, x, mask=None):
        if mask is None:
            return super().normalize(x)
        m = IN(self.layout, self.eps).moments(x)
        return ((upcast(x) - m.mean) / m.std).to(x.dtype), self.moments(x, mask)


@fault("a sample that is all padding has a mean that is no number", refused_by="masked_moments")
class NothingIsNaN(LN):
    def moments(self, x, mask=None):
        m = super().moments(x, mask)
        if mask is None:
            return m
        none = ~mask.bool().flatten(1).any(1).view(-1, 1, 1, 1)
        return Moments(torch.where(none, float("nan"), m.mean), m.std)


@fault("divides by all positions minus one under a mask", refused_by="masked_moments", groups=2)
class OneLessOfAll(GN):
    def moments(self, x, mask=None):
        m = super().moments(x, mask)
        if mask is None:
            return m
        size = self.group_size(x.shape)
        real = (mask.flatten(1).sum(1) * size / mask[0].numel()).view(-1, *[1] * (m.std.ndim - 1))
        variance = (m.std.square() - self.eps) * (real - 1).clamp(min=1) / max(size - 1, 1)
        return Moments(m.mean, (variance + self.eps).sqrt())


@fault("a mask of zeros and ones takes the first two rows", refused_by="masked_moments")
class IndexesByTheMask(IN):
    def moments(self, x, mask=None):
        return super().moments(x, mask if mask is None or mask.dtype == torch.bool else mask[mask[:, 0, 0]])
