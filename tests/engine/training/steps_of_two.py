"""Steps of methods by two processes, or by one on the same crops; as a script it is the two processes.

    python -m tests.engine.training.steps_of_two FOLDER

Each process takes its half of the crops and the first writes the weights it ends with into FOLDER.
"""

import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch

from napari_semiseg.engine.methods.assembly import assemble, make_fabric
from napari_semiseg.engine.methods.contract import Clock
from napari_semiseg.engine.methods.registry import method_of, settings_of
from napari_semiseg.engine.parts import segmentation_loss
from napari_semiseg.engine.sampling.batches import Batch
from napari_semiseg.engine.training.processes import OwnGradients, Processes
from tests.engine.methods.conftest import make_machine, make_plan, voxel_positions

METHODS = {
    "supervised": {},
    "cps": {},
    "dtml": {"regression": "distance"},
    "ua-mt": {"noise": 0.0},
    "dan": {},
    "sassnet": {},
    "asdnet": {"attention": "none"},
    "reciprocal": {"student_start": "random", "feedback_scale": 1000.0},
}
LATE = Clock(400, 0.999)
STEPS = 2
CROPS = 2  # labelled, and as many unlabelled, in each process


def half_of_the_batch(plan, half, uneven):
    """Make the crops of one process; ``uneven`` ones differ in what is labelled and ignored."""
    generator = torch.Generator().manual_seed(100 + half)
    count, shape = 2 * CROPS, plan.spatial
    labels = torch.zeros(count, *shape, dtype=torch.long)
    margin = 2 + half if uneven else 2
    for index in range(1, plan.classes):
        inside = tuple(slice(margin * index, -margin * index) for _ in shape)
        labels[(slice(None), *inside)] = index
    images = labels.unsqueeze(1).float() + 0.5 * torch.randn(
        (count, 1, *shape), generator=generator
    )
    if uneven and half:
        labels[0, :6] = segmentation_loss.IGNORED
    positions = voxel_positions(shape).expand(count, *shape, 3)
    names = tuple(f"case {half} {crop}" for crop in range(count))
    return Batch(images, images, labels[:CROPS], plan.spacing, names, positions)


def joined(first, second):
    """Return both halves as one batch, labelled crops first."""

    def both(name):
        mine, theirs = getattr(first, name), getattr(second, name)
        return torch.cat([mine[:CROPS], theirs[:CROPS], mine[CROPS:], theirs[CROPS:]])

    return replace(
        first,
        images=both("images"),
        plain_images=both("plain_images"),
        labels=torch.cat([first.labels, second.labels]),
        cases=first.cases[:CROPS] + second.cases[:CROPS] + first.cases[CROPS:] + second.cases[CROPS:],
        positions=both("positions"),
    )  # fmt: skip


@contextmanager
def means_only(even):
    """Leave ratios of sums out of the segmentation loss, so that halves are exactly comparable."""
    if not even:
        yield
        return
    with mock.patch.object(segmentation_loss, "dice_loss", lambda found, labels: 0 * found.mean()):
        yield


def weights_after(key, batch_of, fabric=None, uneven=False):
    """Take a few steps; return each network's weights before and after as one vector each."""
    plan = make_plan(optimiser="sgd", learning_rate=0.05, warm_start_share=0.0)
    torch.manual_seed(0)
    settings = settings_of(method_of(key), METHODS[key])
    method = assemble(key, plan, settings, make_machine(), fabric)
    for network in method.networks().values():
        for layer in network.modules():
            if isinstance(layer, torch.nn.modules.dropout._DropoutNd):
                layer.p = 0.0
    before = {name: vector_of(network) for name, network in method.networks().items()}
    with means_only(not uneven):
        for step in range(STEPS):
            method.training_step(batch_of(plan), replace(LATE, step=LATE.step + step))
    after = {name: vector_of(network) for name, network in method.networks().items()}
    return before, after


def vector_of(network):
    return torch.cat([weight.detach().reshape(-1).clone() for weight in network.parameters()])


def main(folder):
    torch.set_num_threads(1)
    strategy = OwnGradients()
    processes = Processes(make_fabric(make_machine(), devices=2, strategy=strategy))
    processes.fabric.launch()
    for uneven in (False, True):
        for key in METHODS:
            _, after = weights_after(
                key,
                lambda plan, uneven=uneven: half_of_the_batch(plan, processes.rank, uneven),
                processes.fabric,
                uneven,
            )
            line = torch.cat(list(after.values()))
            alike = processes.all_agree(torch.equal(line, processes.of_the_first(line)))
            if processes.leads:
                torch.save({"after": after, "alike": alike}, folder / f"{key} {uneven}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
