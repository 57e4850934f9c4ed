"""Reading what a run learns from: its scans on the model grid, with their labels.

The slow part of preparation; each scan is read once and then comes from the study's cache. Processes
that train together each read their share for all of them. Called while a run is prepared.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

from napari_semiseg.engine.errors import TrainingError
from napari_semiseg.engine.methods.bodies.distance_head import maps_of_whole_cases
from napari_semiseg.engine.methods.contract import MethodSettings
from napari_semiseg.engine.methods.registry import method_of
from napari_semiseg.engine.planning.plan import Plan
from napari_semiseg.engine.sampling.patch_cache import CachedCase, Labels, cache_cases
from napari_semiseg.engine.study import Case, Study
from napari_semiseg.engine.training.events import Event, Preparing, Warned
from napari_semiseg.engine.training.processes import Processes

Cases = tuple[list[CachedCase], list[CachedCase]]


@dataclass(frozen=True)
class ScanReader:
    """What scans are read for.

    Attributes
    ----------
    study : Study
        Open study.
    plan : Plan
        Model grid and normalisation.
    key : str
        Of the method.
    method_settings : MethodSettings
        Its hyper-parameters.
    """

    study: Study
    plan: Plan
    key: str
    method_settings: MethodSettings

    def read(self, training: list[Case], processes: Processes) -> Generator[Event, None, Cases]:
        """Read the labelled cases of ``training`` and, for methods that learn from them, all others.

        Returns
        -------
        labelled, unlabelled : list of CachedCase
            A supervised method leaves the unlabelled scans alone.

        Raises
        ------
        TrainingError
            No label has a voxel of any class.
        """
        uses_others = method_of(self.key).uses_unlabelled
        others = self.study.unlabelled_cases() if uses_others else []
        total = len(training) + len(others)
        if processes.count > 1:
            yield from self._read_for_all(training, others, processes)
        labelled: list[CachedCase] = []
        unlabelled: list[CachedCase] = []
        for case in self._labelled(training):
            labelled.append(case)
            yield Preparing(len(labelled), total, "reading scans")
        yield from self._tell_empty(labelled)
        for case in self._unlabelled(others):
            unlabelled.append(case)
            yield Preparing(len(labelled) + len(unlabelled), total, "reading scans")
        return labelled, unlabelled

    def _read_for_all(
        self, training: list[Case], others: list[Case], processes: Processes
    ) -> Generator[Event, None, None]:
        """Put this process's share of the scans into the cache, where the others find it."""
        mine, mine_too = processes.share(training), processes.share(others)
        total = len(mine) + len(mine_too)
        done = 0
        for cases in (self._labelled(mine), self._unlabelled(mine_too)):
            for _ in cases:
                done += 1
                yield Preparing(done, total, "reading a share of the scans")
        processes.wait_for_all()

    def _labelled(self, cases: list[Case]) -> Iterator[CachedCase]:
        distances = maps_of_whole_cases(self.method_settings, self.plan)
        return cache_cases(self.study, self.plan, cases, labels="all", distances=distances)

    def _unlabelled(self, cases: list[Case]) -> Iterator[CachedCase]:
        hidden: Labels = "any" if method_of(self.key).needs_hidden_labels else "none"
        return cache_cases(self.study, self.plan, cases, labels=hidden)

    def _tell_empty(self, labelled: list[CachedCase]) -> Iterator[Event]:
        empty = [case.name for case in labelled if not case.foreground]
        if len(empty) == len(labelled):
            raise TrainingError(
                f"No label of study “{self.study.name}” has a voxel of any class at the model's voxel "
                "size; paint a structure in at least one scan and mark it as labelled."
            )
        if empty:
            yield Warned(
                f"The label of “{empty[0]}” has no voxel of any class; training takes it as a scan "
                "without the structures. Mark it as unlabelled if that is wrong."
            )
