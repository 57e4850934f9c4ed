"""All that an author of a method needs, in one place that stays while the rooms behind it move.

The names load what they need when they are first used: importing this module loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_semiseg.engine.methods.assembly import (
        assemble as assemble,
        make_fabric as make_fabric,
    )
    from napari_semiseg.engine.methods.bodies.adversarial import (
        AdversarialMethod as AdversarialMethod,
        AdversarialSettings as AdversarialSettings,
        CropDiscriminatorMethod as CropDiscriminatorMethod,
    )
    from napari_semiseg.engine.methods.bodies.averaged_teacher import (
        CertainTeacherMethod as CertainTeacherMethod,
        CertainTeacherSettings as CertainTeacherSettings,
        NoisyTeacherMethod as NoisyTeacherMethod,
        NoisyTeacherSettings as NoisyTeacherSettings,
        TeacherMethod as TeacherMethod,
        TeacherSettings as TeacherSettings,
    )
    from napari_semiseg.engine.methods.bodies.branched import BranchedMethod as BranchedMethod
    from napari_semiseg.engine.methods.bodies.distance_head import (
        SignedDistanceSettings as SignedDistanceSettings,
    )
    from napari_semiseg.engine.methods.bodies.optimisation import (
        descend as descend,
        learning_rate as learning_rate,
        make_optimiser as make_optimiser,
        optimise as optimise,
    )
    from napari_semiseg.engine.methods.bodies.pseudo_labelling import (
        PseudoLabelMethod as PseudoLabelMethod,
        WeakToStrongMethod as WeakToStrongMethod,
        WeakToStrongSettings as WeakToStrongSettings,
    )
    from napari_semiseg.engine.methods.bodies.ramped import (
        ConsistencySettings as ConsistencySettings,
        RampedConsistencySettings as RampedConsistencySettings,
        RampedSettings as RampedSettings,
    )
    from napari_semiseg.engine.methods.bodies.several_networks import (
        SeveralNetworkMethod as SeveralNetworkMethod,
        TwoNetworkMethod as TwoNetworkMethod,
    )
    from napari_semiseg.engine.methods.bodies.size_constrained import (
        SizeConstrainedMethod as SizeConstrainedMethod,
        SizeConstraintSettings as SizeConstraintSettings,
    )
    from napari_semiseg.engine.methods.bodies.student import StudentMethod as StudentMethod
    from napari_semiseg.engine.methods.bodies.two_tasks import TwoTaskMethod as TwoTaskMethod
    from napari_semiseg.engine.methods.contract import (
        Clock as Clock,
        Method as Method,
        MethodSettings as MethodSettings,
        NativeMap as NativeMap,
        Paper as Paper,
        PatchMaps as PatchMaps,
        StepCost as StepCost,
        StepReport as StepReport,
        in_fast_layout as in_fast_layout,
    )
    from napari_semiseg.engine.methods.registry import (
        available_methods as available_methods,
        method_of as method_of,
        settings_of as settings_of,
    )
    from napari_semiseg.engine.networks.output import (
        EncodedImage as EncodedImage,
        NetworkOutput as NetworkOutput,
    )
    from napari_semiseg.engine.networks.specification import (
        NetworkSpecification as NetworkSpecification,
    )
    from napari_semiseg.engine.parts.answers import Answers as Answers
    from napari_semiseg.engine.parts.consistency import (
        certain_squared_difference as certain_squared_difference,
        mean_squared_difference as mean_squared_difference,
    )
    from napari_semiseg.engine.parts.disagreement import total_variation as total_variation
    from napari_semiseg.engine.parts.mixing import (
        PairMixture as PairMixture,
        paste as paste,
        random_boxes as random_boxes,
    )
    from napari_semiseg.engine.parts.prototypes import (
        cosine_similarity_map as cosine_similarity_map,
        masked_average as masked_average,
    )
    from napari_semiseg.engine.parts.pseudo_labels import (
        confident_labels as confident_labels,
        hard_labels as hard_labels,
        pseudo_label_loss as pseudo_label_loss,
        sharpen as sharpen,
    )
    from napari_semiseg.engine.parts.ramps import (
        certainty_threshold as certainty_threshold,
        gaussian_ramp as gaussian_ramp,
        stepped_ramp as stepped_ramp,
    )
    from napari_semiseg.engine.parts.segmentation_loss import (
        cross_entropy as cross_entropy,
        dice_loss as dice_loss,
        segmentation_loss as segmentation_loss,
        soft_segmentation_loss as soft_segmentation_loss,
    )
    from napari_semiseg.engine.parts.signed_distance import (
        exact_distance as exact_distance,
        mask_probability as mask_probability,
        signed_distance_target as signed_distance_target,
    )
    from napari_semiseg.engine.parts.strong_views import strong_view as strong_view
    from napari_semiseg.engine.parts.teacher import AveragedTeacher as AveragedTeacher
    from napari_semiseg.engine.parts.uncertainty import (
        certain_share as certain_share,
        dropout_active as dropout_active,
        entropy as entropy,
        input_noise as input_noise,
        mean_of_passes as mean_of_passes,
        normalised_entropy as normalised_entropy,
    )
    from napari_semiseg.engine.parts.view_transforms import (
        View as View,
        Zoom as Zoom,
        random_view as random_view,
    )
    from napari_semiseg.engine.planning.machine import Machine as Machine
    from napari_semiseg.engine.planning.plan import (
        Normalisation as Normalisation,
        Plan as Plan,
        Recipe as Recipe,
    )
    from napari_semiseg.engine.planning.presets import recipe_of as recipe_of
    from napari_semiseg.engine.sampling.batches import Batch as Batch

_NAMES_OF = {
    # What every method is, and what a step is given and returns.
    "engine.methods.contract": (
        "Clock Method MethodSettings NativeMap Paper PatchMaps StepCost StepReport in_fast_layout"
    ),
    "engine.sampling.batches": "Batch",
    "engine.networks.output": "EncodedImage NetworkOutput",
    # Bodies: what several methods inherit.
    "engine.methods.bodies.student": "StudentMethod",
    "engine.methods.bodies.averaged_teacher": (
        "CertainTeacherMethod CertainTeacherSettings NoisyTeacherMethod NoisyTeacherSettings "
        "TeacherMethod TeacherSettings"
    ),
    "engine.methods.bodies.pseudo_labelling": (
        "PseudoLabelMethod WeakToStrongMethod WeakToStrongSettings"
    ),
    "engine.methods.bodies.several_networks": "SeveralNetworkMethod TwoNetworkMethod",
    "engine.methods.bodies.branched": "BranchedMethod",
    "engine.methods.bodies.two_tasks": "TwoTaskMethod",
    "engine.methods.bodies.distance_head": "SignedDistanceSettings",
    "engine.methods.bodies.adversarial": (
        "AdversarialMethod AdversarialSettings CropDiscriminatorMethod"
    ),
    "engine.methods.bodies.size_constrained": "SizeConstrainedMethod SizeConstraintSettings",
    "engine.methods.bodies.ramped": "ConsistencySettings RampedConsistencySettings RampedSettings",
    "engine.methods.bodies.optimisation": "descend learning_rate make_optimiser optimise",
    # Parts: what most methods use.
    "engine.parts.answers": "Answers",
    "engine.parts.consistency": "certain_squared_difference mean_squared_difference",
    "engine.parts.disagreement": "total_variation",
    "engine.parts.mixing": "PairMixture paste random_boxes",
    "engine.parts.prototypes": "cosine_similarity_map masked_average",
    "engine.parts.pseudo_labels": "confident_labels hard_labels pseudo_label_loss sharpen",
    "engine.parts.ramps": "certainty_threshold gaussian_ramp stepped_ramp",
    "engine.parts.segmentation_loss": (
        "cross_entropy dice_loss segmentation_loss soft_segmentation_loss"
    ),
    "engine.parts.signed_distance": "exact_distance mask_probability signed_distance_target",
    "engine.parts.strong_views": "strong_view",
    "engine.parts.teacher": "AveragedTeacher",
    "engine.parts.uncertainty": (
        "certain_share dropout_active entropy input_noise mean_of_passes normalised_entropy"
    ),
    "engine.parts.view_transforms": "View Zoom random_view",
    # What a test of a method needs: a small plan, a machine, and the method put together.
    "engine.methods.assembly": "assemble make_fabric",
    "engine.methods.registry": "available_methods method_of settings_of",
    "engine.networks.specification": "NetworkSpecification",
    "engine.planning.machine": "Machine",
    "engine.planning.plan": "Normalisation Plan Recipe",
    "engine.planning.presets": "recipe_of",
}
_ROOM_OF = {name: room for room, names in _NAMES_OF.items() for name in names.split()}

__all__ = sorted(_ROOM_OF)


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"napari_semiseg.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOM_OF})
