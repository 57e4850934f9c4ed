"""The networks that a plan can name, and how each is built.

Called by the methods through `build_network`; the names also fill the choice in the advanced
settings.
"""

from __future__ import annotations

from torch import nn

from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.engine.networks.monai_trunk import MonaiTrunk
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.networks.unet import UNet
from napari_semiseg.engine.networks.vnet import VNet

NETWORKS = {
    "unet": "U-Net, instance normalisation, leaky ReLU (modern preset)",
    "paper-unet": "3D U-Net of the papers' BraTS experiments",
    "vnet": "V-Net of the papers' left-atrium experiments",
    "monai:SegResNet": "any network of MONAI by its class name",
}


def build_network(specification: NetworkSpecification) -> nn.Module:
    """Build the network with fresh random weights; its forward returns a `NetworkOutput`.

    Raises
    ------
    SettingsError
        The catalogue has no network of that name.
    """
    if specification.name.startswith("monai:"):
        return MonaiTrunk(specification)
    arguments = {
        "dimensions": specification.dimensions,
        "channels": specification.channels,
        "classes": specification.classes,
        "filters": specification.filters,
        "strides": specification.strides,
        "normalisation": specification.normalisation,
        "dropout": specification.dropout,
        "signed_distance_head": specification.signed_distance_head,
    }
    if specification.name == "vnet":
        return VNet(**arguments)  # type: ignore[arg-type]
    if specification.name in ("unet", "paper-unet"):
        return UNet(**arguments, paper=specification.name == "paper-unet")  # type: ignore[arg-type]
    raise SettingsError(
        f"There is no network “{specification.name}”; choose one of {', '.join(NETWORKS)}."
    )


def count_parameters(network: nn.Module) -> int:
    """Count the trainable parameters of ``network``."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
