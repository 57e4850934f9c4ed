"""The common body of methods whose network answers several times in one pass.

The answers come from scales or decoders of one network; the first is what the paper evaluates. Their
mean tells how uncertain the network is and their differences where it disagrees with itself, without
a further pass.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from napari_semiseg.engine.errors import SettingsError
from napari_semiseg.engine.methods.bodies.student import Losses, StudentMethod
from napari_semiseg.engine.methods.contract import PatchMaps
from napari_semiseg.engine.networks.output import NetworkOutput
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.disagreement import mean_total_variation
from napari_semiseg.engine.parts.uncertainty import normalised_entropy
from napari_semiseg.engine.sampling.batches import Batch


class BranchedMethod(StudentMethod):
    """A method with one student whose network returns several branches."""

    branched_networks: ClassVar[Mapping[str, str]]
    """Name of the plan's network to that of the one with branches; a twin trains the former."""

    def build(self, **changes: Any) -> nn.Module:
        """Build the branched network that stands for the plan's.

        Raises
        ------
        SettingsError
            There is none.
        """
        name = self.plan.network.name
        if name not in self.branched_networks:
            raise SettingsError(
                f"{self.title} cannot be built on the network “{name}”; set network.name to one of "
                f"{', '.join(self.branched_networks)}."
            )
        return super().build(name=self.branched_networks[name], **changes)

    @abstractmethod
    def supervise(self, branches: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Return the supervised loss of all branches.

        Parameters
        ----------
        branches : sequence of Tensor
            (B, C, *spatial) logits on the labelled crops.
        labels : Tensor
            (B, *spatial) int64 class indices, 255 ignored.
        """

    def supervised_losses(self, batch: Batch) -> Losses:
        """Return the supervised term of all branches for the warm start."""
        output = self.student(batch.images[: batch.labelled])
        return {"supervised": self.supervise(output.branches, batch.labels)}

    @property
    def answers_with_mean(self) -> bool:
        """Whether the mean of all branches answers at inference instead of the first."""
        return False

    def maps_of(self, answers: Answers, uncertainty: bool, native: bool) -> PatchMaps:
        """Answer with the first branch, alone where no more is asked for, or with the mean."""
        if not (uncertainty or native or self.answers_with_mean):
            network = self.answering.eval()
            output: NetworkOutput = network(answers.windows, branches=1)
            probabilities = torch.softmax(output.logits.float(), dim=1)
            return PatchMaps(probabilities, None, self.features(output))
        maps = super().maps_of(answers, uncertainty, native)
        if not self.answers_with_mean:
            return maps
        return replace(maps, probabilities=self.mean_of_branches(answers))

    def logits_of_branches(self, answers: Answers) -> tuple[Tensor, ...]:
        """Return the logits (B, C, *spatial) of every branch of the network that answers."""
        return answers.of(self.answering).branches

    def mean_of_branches(self, answers: Answers) -> Tensor:
        """Return the mean probabilities (B, C, *spatial) of all branches."""
        return torch.stack(probabilities_of(self.logits_of_branches(answers))).mean(dim=0)

    def uncertainty_of(self, answers: Answers) -> Tensor:
        """Return the normalised entropy (B, *spatial) of the mean of all branches."""
        return normalised_entropy(self.mean_of_branches(answers))

    def disagreement_of(self, answers: Answers) -> Tensor:
        """Return how far the branches lie apart on average, (B, *spatial)."""
        return mean_total_variation(probabilities_of(self.logits_of_branches(answers)))


def probabilities_of(branches: Sequence[Tensor]) -> list[Tensor]:
    """Turn the logits (B, C, *spatial) of each branch into probabilities, float32."""
    return [torch.softmax(logits.float(), dim=1) for logits in branches]
