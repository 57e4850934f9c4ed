"""Hard labels that a network gives to crops without labels, and what learning from them costs.

A label that is not believed is 255, the index that every loss of the project ignores (spec §6.1,
§7.16).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from napari_semiseg.engine.parts.most_probable_class import most_probable_class
from napari_semiseg.engine.parts.segmentation_loss import IGNORED, cross_entropy, dice_loss
from napari_semiseg.engine.volumes.label_editing import keep_largest_component

Choice = Literal["argmax", "sample"]
PseudoLabelLoss = Literal["cross-entropy", "dice", "dice+cross-entropy"]


@dataclass(frozen=True, eq=False)
class PseudoLabels:
    """What a network says about crops, and which labels are made of it.

    Attributes
    ----------
    probabilities : Tensor
        (B, C, *spatial) of the labelling network, without a gradient.
    labels : Tensor
        (B, *spatial) int64 class indices, 255 where no label is believed.
    """

    probabilities: Tensor
    labels: Tensor

    @property
    def confidence(self) -> Tensor:
        """(B, *spatial) probability of the most probable class, 1/C…1."""
        return self.probabilities.amax(dim=1)

    @property
    def kept(self) -> Tensor:
        """(B, *spatial) bool, True where there is a label to learn from."""
        return self.labels != IGNORED

    @property
    def kept_share(self) -> float:
        """Share of the voxels that have a label, 0…1."""
        return self.kept.float().mean().item()

    @property
    def corrected(self) -> Tensor:
        """(B, *spatial) bool, True where the label is another than the most probable class."""
        return self.kept & (self.labels != most_probable_class(self.probabilities))

    @property
    def class_shares(self) -> Tensor:
        """(B, C, *spatial) probabilities whose largest is the label, where there is one."""
        indices = self.labels.masked_fill(~self.kept, 0).unsqueeze(1)
        certain = torch.zeros_like(self.probabilities).scatter_(1, indices, 1.0)
        return torch.where(self.corrected.unsqueeze(1), certain, self.probabilities)


@torch.no_grad()
def hard_labels(logits: Tensor, choice: Choice = "argmax") -> Tensor:
    """Choose one class for each voxel.

    Parameters
    ----------
    logits : Tensor
        (B, C, *spatial).
    choice : {"argmax", "sample"}
        The most probable class, or one drawn with the softmax's probabilities.

    Returns
    -------
    Tensor
        (B, *spatial) int64 class indices without a gradient.
    """
    scores = logits.float()
    if choice == "sample":
        # The largest of the log-probabilities plus Gumbel noise falls on each class with its
        # probability; minus the logarithm of an exponential variable is such noise.
        scores = scores - torch.empty_like(scores).exponential_().log()
    return most_probable_class(scores)


@torch.no_grad()
def confident_labels(probabilities: Tensor, threshold: float) -> Tensor:
    """Choose the most probable class where it is probable enough.

    Parameters
    ----------
    probabilities : Tensor
        (B, C, *spatial).
    threshold : float
        Probability from which a label is believed, 0…1; 0 believes all.

    Returns
    -------
    Tensor
        (B, *spatial) int64 class indices, 255 where no label is believed.
    """
    confidence, labels = probabilities.max(dim=1)
    return labels.masked_fill(confidence < threshold, IGNORED)


def pseudo_label_loss(logits: Tensor, labels: Tensor, kind: PseudoLabelLoss) -> Tensor:
    """Compare a network with labels of which some are not believed.

    Parameters
    ----------
    logits : Tensor
        (B, C, *spatial).
    labels : Tensor
        (B, *spatial) int64 class indices, 255 where no label is believed.
    kind : {"cross-entropy", "dice", "dice+cross-entropy"}
        Cross-entropy is summed over the labels and divided by all voxels, as in FixMatch: the fewer
        labels are believed, the less they count. Dice knows labelled voxels only. The last is half of
        each.

    Returns
    -------
    Tensor
        Scalar; 0 without a gradient that is not 0 where no label is believed.
    """
    entropy = cross_entropy(logits, labels) * (labels != IGNORED).float().mean()
    if kind == "cross-entropy":
        return entropy
    overlap = dice_loss(torch.softmax(logits.float(), dim=1), labels)
    return overlap if kind == "dice" else 0.5 * (entropy + overlap)


def sharpen(logits: Tensor, temperature: float) -> Tensor:
    r"""Turn class scores into probabilities that are nearer to 0 and 1 than their softmax p.

    .. math:: p_c^{1/T} / \sum_k p_k^{1/T}

    with two classes the binary form of MC-Net+. It equals the softmax of the scores divided by T, and
    is computed so: the power of a small probability would be zero.

    Parameters
    ----------
    logits : Tensor
        (B, C, *spatial); gradients reach them.
    temperature : float
        T above 0; 1 leaves the softmax as it is, towards 0 the result is one-hot.

    Returns
    -------
    Tensor
        (B, C, *spatial) float32 probabilities that sum to 1 over C.
    """
    return torch.softmax(logits.float() / temperature, dim=1)


def largest_components(labels: Tensor, classes: int) -> Tensor:
    """Turn all but the largest piece of every foreground class into background.

    Parameters
    ----------
    labels : Tensor
        (B, *spatial) int64 class indices; 255 stays as it is.

    Returns
    -------
    Tensor
        (B, *spatial) int64, a new tensor on the same device. Voxels that touch at a corner are
        connected; of pieces of the same size the first stays.
    """
    cleaned = labels.cpu().numpy().copy()
    for crop in cleaned:
        for index in range(1, classes):
            keep_largest_component(crop, index).apply(crop)
    return torch.from_numpy(cleaned).to(labels.device)
