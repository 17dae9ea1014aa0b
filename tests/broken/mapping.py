"""Faults of label maps."""

from featmix.strategies.cutmix import CutMix
from tests.broken.fault import fault


@fault("takes the map's labels from the partner's partner", refused_by="dense_targets")
class MapOfAnother(CutMix):
    def partner_map(self, maps, params):
        return maps[params.partner[params.partner]]


@fault("leaves the map as it was", refused_by="dense_targets")
class MapNotMixed(CutMix):
    def dense_targets(self, target_map, params):
        return target_map.clone()


@fault("mixes the maps of idle rows", refused_by="dense_targets", p=0.5, per="sample")
class MapOfIdleRows(CutMix):
    def dense_targets(self, target_map, params):
        return target_map[params.partner]


@fault("shifts the map by a position at another resolution", refused_by="dense_resolution")
class MapShifted(CutMix):
    def dense_targets(self, target_map, params):
        mixed = super().dense_targets(target_map, params)
        return mixed if mixed.shape[-1] == params.sizes[-1] else mixed.roll(1, -1)
