"""The common body of methods in which two networks learn side by side.

The student of the base class is the first network, whose answer the papers evaluate; the partner has
its shape and weights of its own.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from napari_semiseg.engine.methods.bodies.several_networks import SeveralNetworkMethod
from napari_semiseg.engine.methods.bodies.student import Losses
from napari_semiseg.engine.parts.segmentation_loss import segmentation_loss
from napari_semiseg.engine.sampling.batches import Batch


class TwoNetworkMethod(SeveralNetworkMethod):
    """A method with a student and a partner."""

    def build_partners(self) -> Mapping[str, nn.Module]:
        """Build the partner."""
        return {"partner": self.build_partner()}

    def build_partner(self) -> nn.Module:
        """Build the partner: by default the student's shape with random weights of its own."""
        return self.build_student()

    @property
    def partner(self) -> nn.Module:
        """The other network."""
        return self.partners["partner"]

    @property
    def answering_partner(self) -> nn.Module:
        """The partner that answers at inference: its average where the student's answers."""
        return self.answering_networks[1]

    def supervised_losses(self, batch: Batch) -> Losses:
        """Return the supervised terms of both networks for the warm start."""
        images = batch.images[: batch.labelled]
        return self.supervise(self.student(images).logits, self.partner(images).logits, batch)

    def supervise(self, logits: Tensor, partner_logits: Tensor, batch: Batch) -> Losses:
        """Return the segmentation loss of each network.

        Parameters
        ----------
        logits, partner_logits : Tensor
            (labelled, C, *spatial) of the student and of the partner.
        batch : Batch
            Its labels.
        """
        return {
            "supervised": segmentation_loss(logits, batch.labels),
            "partner supervised": segmentation_loss(partner_logits, batch.labels),
        }
