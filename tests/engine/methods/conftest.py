import pytest
import torch

from napari_semiseg.engine.methods.assembly import assemble
from napari_semiseg.engine.methods.registry import method_of, settings_of
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.planning.machine import Machine
from napari_semiseg.engine.planning.plan import Normalisation, Plan
from napari_semiseg.engine.planning.presets import recipe_of
from napari_semiseg.engine.sampling.batches import Batch


def make_plan(dimensions=3, classes=3, channels=1, preset="modern", **recipe):
    patch = (16, 16, 16) if dimensions == 3 else (1, 16, 16)
    paper = preset == "paper"
    return Plan(
        preset=preset,
        spacing=(1.0, 1.0, 1.0),
        patch=patch,
        class_values=tuple(range(1, classes)),
        channels=channels,
        normalisation=Normalisation(),
        network=NetworkSpecification(
            name="vnet" if paper else "unet",
            dimensions=dimensions,
            channels=channels,
            classes=classes,
            filters=4,
            strides=((2,) * dimensions,) * 2,
            normalisation="batch" if paper else "instance",
            dropout=0.5 if paper else 0.0,
        ),
        recipe=recipe_of(preset, is_ct=False).model_copy(update=recipe),
    )


def make_machine(precision="32-true"):
    return Machine("cpu", "CPU", 2**33, 1, precision)


@pytest.fixture
def build():
    def build_method(key, settings=None, precision="32-true", seed=0, **plan):
        torch.manual_seed(seed)
        method = method_of(key)
        return assemble(
            key, make_plan(**plan), settings_of(method, settings or {}), make_machine(precision)
        )

    return build_method


def voxel_positions(shape):
    """Positions (*shape, 3) of a crop that begins at the first voxel of a case."""
    axes = [torch.arange(float(extent)) for extent in shape]
    within = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    return torch.nn.functional.pad(within, (3 - len(shape), 0))


@pytest.fixture
def make_batch():
    def make(plan, labelled=2, unlabelled=2, seed=0):
        generator = torch.Generator().manual_seed(seed)
        count, shape = labelled + unlabelled, plan.spatial
        labels = torch.zeros(count, *shape, dtype=torch.long)
        for index in range(1, plan.classes):
            inside = tuple(slice(2 * index, -2 * index) for _ in shape)
            labels[(slice(None), *inside)] = index
        images = labels.unsqueeze(1).repeat(1, plan.channels, *(1,) * len(shape)).float()
        plain = images + 0.1 * torch.randn(images.shape, generator=generator)
        student = plain + 0.3 * torch.randn(images.shape, generator=generator)
        return Batch(
            student,
            plain,
            labels[:labelled],
            plan.spacing[3 - len(shape) :],
            ("case",) * count,
            positions=voxel_positions(shape).expand(count, *shape, 3),
            hidden_labels=labels[labelled:],
        )

    return make
