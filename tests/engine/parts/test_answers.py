import pytest
import torch
from torch import nn

from napari_semiseg.engine.networks.catalogue import build_network
from napari_semiseg.engine.networks.output import NetworkOutput
from napari_semiseg.engine.networks.specification import NetworkSpecification
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.uncertainty import dropout_active


class Counting(nn.Module):
    """Counts how often it is asked, and whether to learn."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.asked = 0

    def forward(self, images):
        assert not self.training
        self.asked += 1
        logits = images * self.weight
        return NetworkOutput(logits, logits, logits)


def test_each_network_is_asked_once_and_only_when_needed():
    windows = torch.randn(2, 3, 4, 4)
    one, other = Counting().train(), Counting().train()
    answers = Answers(windows)
    assert one.asked == 0
    first = answers.of(one)
    assert answers.of(one) is first
    answers.probabilities_of(one)
    assert (one.asked, other.asked) == (1, 0)
    assert not first.logits.requires_grad


def test_probabilities_are_the_softmax_in_float32():
    windows = torch.randn(2, 3, 4, 4)
    found = Answers(windows).probabilities_of(Counting())
    torch.testing.assert_close(found, torch.softmax(windows, dim=1))
    halved = Answers(windows.bfloat16()).probabilities_of(Counting().bfloat16())
    assert halved.dtype == torch.float32


def test_two_networks_disagree_by_their_predictions():
    answers = Answers(torch.randn(1, 2, 4, 4))
    one, other = Counting(), Counting()
    with torch.no_grad():
        other.weight.fill_(-1.0)
    found = answers.disagreement_of(one, other)
    foreground = [answers.probabilities_of(network)[:, 1] for network in (one, other)]
    torch.testing.assert_close(found, (foreground[0] - foreground[1]).abs())
    assert (answers.disagreement_of(one, one) == 0).all()


def test_the_mean_of_networks_is_that_of_their_probabilities():
    answers = Answers(torch.randn(1, 2, 4, 4))
    networks = Counting(), Counting(), Counting()
    with torch.no_grad():
        networks[1].weight.fill_(-1.0)
    each = [answers.probabilities_of(network) for network in networks]
    torch.testing.assert_close(answers.mean_of(*networks), torch.stack(each).mean(dim=0))
    assert torch.equal(answers.mean_of(networks[0]), each[0])


@pytest.mark.parametrize(
    ("name", "patch", "times_encoded"), [("vnet", (8, 16, 16), 1), ("enet", (64, 64), None)]
)
def test_dropout_passes_are_averaged_and_the_encoder_is_asked_once(name, patch, times_encoded):
    torch.manual_seed(0)
    network = build_network(
        NetworkSpecification(
            name=name, dimensions=len(patch), filters=4, strides=((2,) * len(patch),), dropout=0.5
        )
    )
    windows = torch.randn(2, 1, *patch)
    network.eval()
    with torch.no_grad(), dropout_active(network):
        torch.manual_seed(1)
        drawn = [torch.softmax(network(windows).logits, dim=1) for _ in range(3)]
    assert not torch.equal(drawn[0], drawn[1])
    encoded = []
    if times_encoded:
        network.encoder[0].register_forward_hook(lambda *_: encoded.append(1))
    answers = Answers(windows)
    answers.of(network)
    torch.manual_seed(1)
    found = answers.dropout_mean_of(network, passes=3)
    if times_encoded:
        torch.testing.assert_close(found, torch.stack(drawn).mean(dim=0))
        assert len(encoded) == times_encoded
    assert found.shape == drawn[0].shape
    torch.testing.assert_close(found.sum(dim=1), torch.ones(2, *patch))
