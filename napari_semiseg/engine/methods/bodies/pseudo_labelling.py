"""The common body of methods that turn a network's answers into labels of unlabelled crops.

A method of this kind says which network labels, which of its labels are believed, and what the
student makes of them; labelling itself and the maps that show the labels are here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from napari_semiseg.engine.methods.bodies.student import StudentMethod
from napari_semiseg.engine.methods.contract import MethodSettings, NativeMap
from napari_semiseg.engine.parts.answers import Answers
from napari_semiseg.engine.parts.disagreement import total_variation
from napari_semiseg.engine.parts.pseudo_labels import PseudoLabels, confident_labels

PSEUDO_LABEL = NativeMap("pseudo_label", "Pseudo-label", look="classes", channels="classes")
CONFIDENCE = NativeMap("confidence", "Confidence of the pseudo-label", look="share")
KEPT = NativeMap("kept", "Voxels learnt from", look="share")


class PseudoLabelMethod(StudentMethod):
    """A student that learns unlabelled crops from labels that a network gives them."""

    unsupervised_terms: ClassVar[tuple[str, ...]] = ("pseudo-labels",)
    native_maps: ClassVar[tuple[NativeMap, ...]] = (PSEUDO_LABEL, CONFIDENCE, KEPT)

    @property
    @abstractmethod
    def labelling(self) -> nn.Module:
        """The network that labels unlabelled crops."""

    @abstractmethod
    def choose(self, probabilities: Tensor) -> Tensor:
        """Turn probabilities (B, C, *spatial) into labels (B, *spatial), 255 where none is believed."""

    @torch.no_grad()
    def label(self, images: Tensor) -> PseudoLabels:
        """Label crops as at inference: nothing is dropped, running statistics normalise.

        Parameters
        ----------
        images : Tensor
            (B, channels, *spatial).
        """
        network = self.labelling
        training = network.training
        network.eval()
        probabilities = torch.softmax(network(images).logits.float(), dim=1)
        network.train(training)
        return PseudoLabels(probabilities, self.choose(probabilities))

    def disagreement_of(self, answers: Answers) -> Tensor | None:
        """Compare the answer with a second one, if there is any."""
        answer = answers.probabilities_of(self.answering)
        other = self.second_answer(answers)
        return None if other is None else total_variation(answer, other)

    def second_answer(self, answers: Answers) -> Tensor | None:
        """Return other probabilities (B, C, *spatial) of the same windows, if there are any.

        The labelling network's, or the student's where the labelling network itself answers.
        """
        for other in (self.labelling, self.student):
            if other is not self.answering:
                return answers.probabilities_of(other)
        return None

    def native_of(self, answers: Answers) -> Mapping[str, Tensor]:
        """Show the labels that the student learns from, or would learn from next."""
        labels = self.labels_of(answers)
        return {
            PSEUDO_LABEL.key: labels.class_shares,
            CONFIDENCE.key: labels.confidence.unsqueeze(1),
            KEPT.key: labels.kept.unsqueeze(1).float(),
        }

    def labels_of(self, answers: Answers) -> PseudoLabels:
        """Return the labels that are made of the labelling network's answer."""
        probabilities = answers.probabilities_of(self.labelling)
        return PseudoLabels(probabilities, self.choose(probabilities))


class WeakToStrongSettings(MethodSettings):
    """What a network believes of its own answers, and how hard it is to learn them again."""

    confidence_threshold: float = Field(
        0.95, ge=0, le=1, title="Confidence threshold (τ)",
        description="Probability from which a label of the weak view is learnt.",
    )  # fmt: skip
    strength: float = Field(
        1.0, ge=0, le=3, title="Strength",
        description="Factor of the intensity changes of a strong view.",
    )  # fmt: skip


class WeakToStrongMethod(PseudoLabelMethod):
    """A student that learns from strong views what it is sure of in weak ones."""

    settings: WeakToStrongSettings

    @property
    def labelling(self) -> nn.Module:
        """The student labels for itself."""
        return self.student

    def choose(self, probabilities: Tensor) -> Tensor:
        """Believe confident voxels."""
        return confident_labels(probabilities, self.settings.confidence_threshold)
