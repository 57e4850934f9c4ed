"""The place in a network where its decoder reads the encoder's features.

Trunks pass every level through it, so that what the decoder gets can be perturbed from outside
(UniMatch) while the encoder goes on undisturbed.
"""

from __future__ import annotations

from torch import nn


class EncoderFeatures(nn.Identity):
    """Passes on the features of each encoder level, (B, F, *small), for forward hooks to change.

    It has no weights, so that a checkpoint is the same with and without it.
    """
