import math

import pytest
import torch
from torch import nn

from napari_semiseg.engine.networks.heads import NetworkOutput
from napari_semiseg.engine.parts.certainty import certain_share, teacher_entropy
from napari_semiseg.engine.parts.ramps import certainty_threshold


@pytest.mark.parametrize("classes", [2, 4])
def test_a_voxel_counts_in_the_share_of_training_that_the_map_says(classes):
    uncertainty = torch.linspace(0, math.log(classes), 201)
    share = certain_share(uncertainty, classes)
    for moment in (0.0, 0.1, 0.35, 0.5, 0.75, 0.9, 1.0):
        counted = uncertainty < certainty_threshold(moment, classes)
        clear = (share - (1 - moment)).abs() > 1e-3
        assert torch.equal(counted[clear], (share > 1 - moment)[clear])


def test_what_is_certain_counts_always_and_what_is_a_tie_never():
    share = certain_share(torch.tensor([0.0, 0.7 * math.log(3), math.log(3)]), 3)
    torch.testing.assert_close(share, torch.tensor([1.0, 1.0, 0.0]), atol=1e-3, rtol=0)
    assert (certain_share(torch.linspace(0, 1, 50) * math.log(3), 3).diff() <= 1e-6).all()


class Teacher(nn.Module):
    """Batch normalisation and dropout before the answer."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm2d(2), nn.Dropout(0.5))

    def forward(self, images):
        answer = self.layers(images)
        return NetworkOutput(answer, answer, answer)


def test_asking_a_teacher_for_its_certainty_changes_nothing_in_it():
    teacher = Teacher()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    images = 5 * torch.randn(1, 2, 6, 6)
    found = teacher_entropy(teacher, images, passes=8, noise=0.1)
    assert found.shape == (1, 6, 6)
    assert 0 <= found.min() <= found.max() <= math.log(2)
    assert found.std() > 0.01  # dropout was on
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name])
    assert not any(layer.training for layer in teacher.modules())
