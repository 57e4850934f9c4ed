"""Any segmentation network of MONAI as a trunk under this project's heads.

The MONAI class is built with a few output channels that serve as features; the heads of this room
then give logits and signed distances, so that every method and every map works with it.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn

from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.engine.networks.heads import Heads
from napari_semiseg.engine.networks.output import NetworkOutput
from napari_semiseg.engine.networks.specification import NetworkSpecification

FEATURES = 16


class MonaiTrunk(nn.Module):
    """A network of ``monai.networks.nets`` with the heads of this project.

    Parameters
    ----------
    specification : NetworkSpecification
        ``name`` is ``"monai:CLASS"``; ``options`` go to the class as they are and win over what is
        filled in here (spatial dimensions, channels, filters, strides).

    Raises
    ------
    SettingsError
        MONAI has no such class, or the class refuses the arguments.
    """

    def __init__(self, specification: NetworkSpecification) -> None:
        super().__init__()
        from monai.networks import nets

        name = specification.name.removeprefix("monai:")
        network_class: Any = getattr(nets, name, None)
        if not isinstance(network_class, type):
            raise SettingsError(
                f"MONAI has no network “{name}”; choose a class of monai.networks.nets, "
                "for example monai:SegResNet."
            )
        arguments = _arguments(network_class, specification)
        try:
            self.trunk: nn.Module = network_class(**arguments)
        except (TypeError, ValueError) as problem:
            raise SettingsError(
                f"MONAI's {name} cannot be built with {arguments}: {problem}; "
                "set what it needs in the network options."
            ) from problem
        dropout = nn.Dropout(specification.dropout) if specification.dropout else nn.Identity()
        self.dropout = dropout
        self.heads = Heads(
            specification.dimensions,
            FEATURES,
            specification.classes,
            specification.signed_distance_head,
        )

    def forward(self, image: Tensor) -> NetworkOutput:
        """Segment ``image`` (B, channels, *spatial)."""
        features = self.trunk(image)
        if isinstance(features, (list, tuple)):
            features = features[0]
        logits, distance = self.heads(self.dropout(features))
        return NetworkOutput(logits, features, features, distance)


def _arguments(network_class: type, specification: NetworkSpecification) -> dict[str, Any]:
    """Fill in what the class's signature asks for from the specification."""
    levels = len(specification.strides)
    known: dict[str, Any] = {
        "spatial_dims": specification.dimensions,
        "in_channels": specification.channels,
        "out_channels": FEATURES,
        "channels": tuple(specification.filters * 2**level for level in range(levels + 1)),
        "strides": specification.strides,
        "init_filters": specification.filters,
        "num_res_units": 2,
    }
    accepted = inspect.signature(network_class).parameters
    filled = {name: value for name, value in known.items() if name in accepted}
    return filled | specification.options
