"""Faults of normalizers."""

import torch

from featmix.normalizers.kinds import GN, IN, LN, PONO
from featmix.normalizers.moments import Moments, upcast
from tests.broken.fault import fault

POSITIONS = (2, 3)


def two_pass(x, dims, eps, correction=1):
    count = max(torch.Size([x.shape[d] for d in dims]).numel() - correction, 1)
    mean = x.mean(dims, keepdim=True)
    return Moments(mean, ((x - mean).square().sum(dims, keepdim=True) / count + eps).sqrt())


@fault("denormalizes with another eps", refused_by="restores")
class OtherEps(IN):
    def denormalize(self, xh, m):
        return super().denormalize(xh, Moments(m.mean, (m.std.square() + self.eps).sqrt()))


@fault("adds the mean before it scales", refused_by="restores")
class MeanFirst(IN):
    def denormalize(self, xh, m):
        return ((upcast(xh) + m.mean) * m.std).to(xh.dtype)


@fault("normalized features stay float32", refused_by="restores", dtype=torch.bfloat16)
class StaysFloat32(IN):
    def normalize(self, x):
        return super().normalize(upcast(x))


@fault("counts eps twice in normalize", refused_by="standardizes")
class EpsTwiceInside(IN):
    def normalize(self, x):
        m = self.moments(x)
        return ((upcast(x) - m.mean) / (m.std.square() + self.eps).sqrt()).to(x.dtype), m


@fault("reports another variance than it divides by", refused_by="standardizes")
class ReportsBiased(IN):
    def normalize(self, x):
        biased = two_pass(upcast(x), POSITIONS, self.eps, correction=0)
        return ((upcast(x) - biased.mean) / biased.std).to(x.dtype), self.moments(x)


@fault("averages over the batch as well", refused_by="samples_apart")
class OverTheBatch(PONO):
    def moments(self, x):
        return two_pass(upcast(x), (0, 1), self.eps)


@fault("keeps a running mean", refused_by="samples_apart")
class RunningMean(IN):
    kept: list = []  # noqa: RUF012 - that it is shared is the fault

    def moments(self, x):
        m = super().moments(x)
        self.kept.append(float(m.mean.detach().sum()))
        return Moments(m.mean + 0.1 * sum(self.kept[-3:]), m.std)


@fault("takes moments of half types in half precision", refused_by="statistics_in_float32", dtype=torch.float16)
class InHalf(IN):
    def moments(self, x):
        return two_pass(x, POSITIONS, self.eps)


@fault("sums in bfloat16 and reports float32", refused_by="statistics_in_float32", dtype=torch.bfloat16)
class WidenedTooLate(IN):
    def moments(self, x):
        m = two_pass(x, POSITIONS, self.eps)
        return Moments(m.mean.float(), m.std.float())


@fault("cuts float64 to float32", refused_by="statistics_in_float32", dtype=torch.float64)
class CutsFloat64(IN):
    def moments(self, x):
        return two_pass(x.float(), POSITIONS, self.eps)


@fault("normalizes in place", refused_by="leaves_input_alone")
class NormalizesInPlace(IN):
    def normalize(self, x):
        m = self.moments(x)
        return x.sub_(m.mean).div_(m.std), m


@fault("denormalizes in place", refused_by="leaves_input_alone")
class RestoresInPlace(IN):
    def denormalize(self, xh, m):
        return xh.mul_(m.std).add_(m.mean)


@fault("averages positions where channels are meant", refused_by="agrees_with_oracle")
class WrongAxes(PONO):
    def moments(self, x):
        return two_pass(upcast(x), (2,), self.eps)


@fault("groups every G-th channel instead of neighbours", refused_by="agrees_with_oracle", groups=2)
class Interleaved(GN):
    def view(self, x):
        return x.unflatten(1, (x.shape[1] // self.groups, self.groups)).transpose(1, 2)


@fault("forgets that layer norm goes over positions too", refused_by="agrees_with_oracle")
class ChannelsOnly(LN):
    def moments(self, x):
        m = two_pass(upcast(x), (1,), self.eps)
        return Moments(m.mean.mean(POSITIONS, keepdim=True), m.std.mean(POSITIONS, keepdim=True))


@fault("the mean of absolute values for the mean", refused_by="agrees_with_oracle")
class AbsoluteMean(IN):
    def moments(self, x):
        m = super().moments(x)
        return Moments(upcast(x).abs().mean(POSITIONS, keepdim=True), m.std)


@fault("the root of the standard deviation for that of the variance", refused_by="agrees_with_oracle")
class RootTwice(IN):
    def moments(self, x):
        m = super().moments(x)
        return Moments(m.mean, m.std.sqrt())


@fault("divides by n where n - 1 is asked for", refused_by="agrees_with_oracle")
class Biased(IN):
    def moments(self, x):
        return two_pass(upcast(x), POSITIONS, self.eps, correction=0)


@fault("takes the larger of variance and eps instead of their sum", refused_by="agrees_with_oracle")
class EpsAsFloor(IN):
    def moments(self, x):
        m = super().moments(x)
        return Moments(m.mean, (m.std.square() - self.eps).clamp(min=self.eps).sqrt())


@fault("divides positive-only sums by the count of all", refused_by="agrees_with_oracle", positive_only=True)
class CountsAll(IN):
    def moments(self, x):
        return two_pass(upcast(x).clamp(min=0), POSITIONS, self.eps, correction=0)


@fault("adds eps outside the root", refused_by="constant_groups")
class EpsOutsideTheRoot(IN):
    def moments(self, x):
        m = two_pass(upcast(x), POSITIONS, 0.0)
        return Moments(m.mean, m.std + self.eps**0.5)


@fault("has no eps", refused_by="constant_groups")
class WithoutEps(IN):
    def moments(self, x):
        return two_pass(upcast(x), POSITIONS, 0.0)


@fault("takes an unbiased variance of one element", refused_by="single_elements")
class NaNOfOne(IN):
    def moments(self, x):
        wide = upcast(x)
        return Moments(wide.mean(POSITIONS, keepdim=True), (wide.var(POSITIONS, keepdim=True) + self.eps).sqrt())


@fault("treats its moments as constants in backward", refused_by="normalize_gradient")
class DetachedMoments(IN):
    def moments(self, x):
        return super().moments(x).detach()


@fault("flattens by reshape(len(x), -1), which an empty batch cannot answer", refused_by="empty_batch", crashes=True)
class ReshapesEmpty(LN):
    def moments(self, x):
        m = two_pass(upcast(x).reshape(len(x), -1), (1,), self.eps)
        return Moments(m.mean.view(-1, 1, 1, 1), m.std.view(-1, 1, 1, 1))


@fault("flattens by view(), which strided input cannot answer", refused_by="memory_format", crashes=True)
class ViewsStrided(IN):
    def moments(self, x):
        m = two_pass(upcast(x.view(*x.shape[:2], -1)), (2,), self.eps)
        return Moments(m.mean.unsqueeze(3), m.std.unsqueeze(3))


@fault("reads values in the order in which memory holds them", refused_by="memory_format")
class MemoryOrder(IN):
    def moments(self, x):
        contiguous = torch.empty(x.shape, device="meta").stride()
        return super().moments(x.as_strided(x.shape, contiguous))


@fault("E[x^2] - E[x]^2 for a variance", refused_by="far_from_zero")
class OnePassVariance(IN):
    def moments(self, x):
        wide = upcast(x)
        mean = wide.mean(POSITIONS, keepdim=True)
        return Moments(mean, (wide.square().mean(POSITIONS, keepdim=True) - mean.square()).clamp(min=0).add(self.eps).sqrt())
