"""Steps of the optimisers in every precision."""

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision

from napari_semiseg.engine.methods.bodies.optimisation import make_optimiser, optimise
from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.planning.presets import recipe_of


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
@pytest.mark.parametrize("preset", ["modern", "paper"])
def test_a_step_goes_down_in_half_precision(precision, preset):
    """Graphics cards without bfloat16 scale their gradients, which must be unscaled before clipping."""
    torch.manual_seed(0)
    scaler = torch.amp.GradScaler("cpu") if precision == "16-mixed" else None
    fabric = Fabric(
        accelerator="cpu", devices=1, plugins=[MixedPrecision(precision, "cpu", scaler)]
    )
    recipe = recipe_of(preset, is_ct=False)
    network = torch.nn.Linear(4, 1)
    network, optimiser = fabric.setup(network, make_optimiser(network, recipe, fabric))
    images = torch.randn(16, 4)

    def loss():
        return (network(images).float() - images[:, :1]).square().mean()

    before = loss().item()
    taken = [
        optimise(fabric, network, optimiser, loss(), recipe, Clock(60 + step, 0.5))
        for step in range(20)
    ]
    assert taken[-1]  # the first ones may be left out, until the scale is low enough
    assert loss().item() < before
