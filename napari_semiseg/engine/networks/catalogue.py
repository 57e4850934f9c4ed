"""The networks that a plan can name, and how each is built."""

from __future__ import annotations

from torch import nn

from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.engine.networks.enet import ENet
from napari_semiseg.engine.networks.monai_trunk import MonaiTrunk
from napari_semiseg.engine.networks.multi_decoder import MultiDecoder
from napari_semiseg.engine.networks.pyramid_unet import PyramidUNet
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.networks.unet import UNet
from napari_semiseg.engine.networks.vnet import VNet

NETWORKS = {
    "unet": "U-Net, instance normalisation, leaky ReLU (modern preset)",
    "paper-unet": "3D U-Net of the papers' BraTS experiments",
    "vnet": "V-Net of the papers' left-atrium experiments",
    "enet": "ENet of the curriculum paper, for slices only",
    "pyramid-unet": "U-Net with an answer at each of its four finest resolutions (URPC)",
    "paper-pyramid-unet": "the same in the dress of the papers' 3D U-Net",
    "multi-decoder-unet": "U-Net with three decoders (MC-Net+)",
    "multi-decoder-vnet": "V-Net with three decoders (MC-Net+)",
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
    if specification.name in ("multi-decoder-unet", "multi-decoder-vnet"):
        trunk = specification.name.removeprefix("multi-decoder-")
        built = build_network(specification.model_copy(update={"name": trunk}))
        return MultiDecoder(built)  # type: ignore[arg-type]
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
    if specification.name == "enet":
        del arguments["strides"]  # it always halves three times
        return ENet(**arguments)  # type: ignore[arg-type]
    if specification.name in ("unet", "paper-unet"):
        return UNet(**arguments, paper=specification.name == "paper-unet")  # type: ignore[arg-type]
    if specification.name in ("pyramid-unet", "paper-pyramid-unet"):
        paper = specification.name == "paper-pyramid-unet"
        return PyramidUNet(**arguments, paper=paper)  # type: ignore[arg-type]
    raise SettingsError(
        f"There is no network “{specification.name}”; choose one of {', '.join(NETWORKS)}."
    )


def count_parameters(network: nn.Module) -> int:
    """Count the trainable parameters of ``network``."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
