import json

import pytest
from torch import nn

from featmix.errors import FeatmixError
from featmix.probe import probe
from tests.compare.nets import Tiny
from tests.compare.test_own_data import Pictures

ASKED = {"data": Pictures(range(60)), "size": 12, "seeds": 1, "epochs": 1, "batch_size": 20, "norms": ["pono"]}


def test_layers_of_any_network_are_probed_by_stage_or_by_name(tmp_path, capsys):
    findings = probe(model=lambda num_classes: Tiny(num_classes), sites=["stem", "layer2.1"], out=tmp_path, **ASKED)
    assert [(one.network, one.site) for one in findings] == [
        (network, site) for network in ("trained", "untrained") for site in ("stem", "layer2.1")
    ]
    assert "60 images of 12 x 12, 3 classes (cat, dog, owl), 1 domain" in capsys.readouterr().out
    record = json.loads((tmp_path / "settings.json").read_text())
    assert record["model"].endswith("<lambda>")
    assert record["model_fingerprint"]
    assert (tmp_path / "moments.png").exists()


class Flat(Tiny):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.flat = nn.Flatten()

    def forward(self, x):
        self.flat(x)
        return super().forward(x)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sites": ["layr1"]}, "probe: site: expected a module or a stage of the network, got 'layr1'. Did you mean 'layer1'"),
        ({"sites": ["flat"]}, r"a layer that returns \(B, C, H, W\), got \(2, 432\) at flat"),
        ({"model": Tiny(3)}, "probe: model: expected a function"),
    ],
)
def test_what_cannot_be_probed_is_refused(tmp_path, settings, said):
    with pytest.raises(FeatmixError, match=said):
        probe(out=tmp_path, **{**ASKED, "model": Flat, **settings})
