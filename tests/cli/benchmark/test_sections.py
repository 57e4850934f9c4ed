"""Every section of the benchmark measures something, at sizes that take seconds."""

from dataclasses import replace

import numpy as np
import psutil
import pytest

from napari_semiseg.cli.benchmark import memory, start_up
from napari_semiseg.cli.benchmark.activations import measure_activations
from napari_semiseg.cli.benchmark.command import SECTIONS, section_function
from napari_semiseg.cli.benchmark.distance_maps import itk_map, measure_distance_maps, scipy_map
from napari_semiseg.cli.benchmark.first_prediction import measure_first_prediction
from napari_semiseg.cli.benchmark.fresh import in_fresh_process
from napari_semiseg.cli.benchmark.generated import ball
from napari_semiseg.cli.benchmark.loading import measure_loading
from napari_semiseg.cli.benchmark.machine import measure_machine, short_description
from napari_semiseg.cli.benchmark.memory import highest_mark, measure_memory
from napari_semiseg.cli.benchmark.metrics import measure_metrics
from napari_semiseg.cli.benchmark.start_up import measure_start_up, seconds_to_import
from napari_semiseg.cli.benchmark.steps import measure_steps
from napari_semiseg.cli.benchmark.whole_scan import measure_whole_scan, seconds_of_dense_windows
from napari_semiseg.cli.benchmark.workload import QUICK, levels_of
from napari_semiseg.engine.errors import BadScan, SemisegError, SettingsError, StudyError
from napari_semiseg.engine.parts.signed_distance import exact_distance
from napari_semiseg.engine.study import Study
from tests.engine.small_study import make_study

pytestmark = pytest.mark.trains

TINY = replace(QUICK, device="cpu", methods=("supervised", "dtc"))


def assert_measured(section, *columns):
    assert section.rows
    for row in section.rows:
        assert list(row) == list(section.rows[0])
        for column in columns:
            assert row[column] > 0, row
    assert all(remark.endswith((".", "**", ")")) for remark in section.remarks)


def test_steps_are_timed_beside_their_plain_twins():
    section = measure_steps(TINY)
    assert_measured(section, "plain s", "fast s", "times faster", "× supervised", "by passes")
    assert [row["method"] for row in section.rows] == ["supervised", "dtc"]
    assert all(row["gradient"] > 0.9 for row in section.rows)


def test_an_unknown_method_is_refused():
    with pytest.raises(SettingsError, match="nothing-like-it"):
        measure_steps(replace(TINY, methods=("nothing-like-it",)))


def test_crops_are_read_in_every_way():
    section = measure_loading(TINY)
    assert_measured(section, "ms", "times faster")
    assert any(row["what"].startswith("ours: memory-mapped") for row in section.rows)


def test_distance_maps_are_made_in_every_way():
    section = measure_distance_maps(TINY)
    assert_measured(section, "ms", "times faster")
    assert section.rows[0]["times faster"] == 1


def test_the_competitors_make_the_same_distance_map():
    mask = ball((20, 22, 24))
    published = scipy_map(mask)
    np.testing.assert_allclose(itk_map(mask), published, atol=1e-5)
    ours = exact_distance(mask, (1.0, 1.0, 1.0), half_voxel=False)
    ours = np.where(mask, ours / -ours.min(), ours / ours.max())
    np.testing.assert_allclose(ours, published, atol=1e-5)


def test_a_whole_scan_goes_from_file_to_files():
    section = measure_whole_scan(TINY)
    assert_measured(section, "s", "times faster")
    assert section.rows[0]["what"].startswith("V-Net, stride 18 × 18 × 4")


def test_the_windows_of_the_published_stride_are_counted_as_its_code_does():
    class Untimed:
        plan = type("Plan", (), {"patch": (80, 112, 112), "channels": 1})()
        fabric = type("Fabric", (), {"device": "cpu"})()

        def networks(self):
            class Network:
                def eval(self):
                    return self

                def __call__(self, window):
                    return type("Output", (), {"logits": window[..., :1, :1, :1]})()

            return {"student": Network()}

    machine = type("Machine", (), {"device": "cpu"})()
    _, windows = seconds_of_dense_windows(Untimed(), (88, 142, 190), machine)
    assert windows == 3 * 3 * 6


def test_a_scan_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(BadScan):
        measure_whole_scan(replace(TINY, scan_file=tmp_path / "none.nii.gz"))


def test_metrics_agree_with_monais():
    section = measure_metrics(TINY)
    assert_measured(section, "ms", "times faster")
    theirs, ours = section.remarks[1].split("(MONAI)")[0][-6:], section.remarks[1]
    assert f"Dice {theirs.strip()} (MONAI) and {theirs.strip()} (ours)" in ours


def test_peaks_of_memory_are_measured(monkeypatch):
    monkeypatch.setattr(memory, "in_fresh_process", lambda function, **given: function(**given))
    section = measure_memory(replace(TINY, methods=("supervised",)))
    assert len(section.rows) == 2
    assert list(section.rows[0]) == ["what", "plain MB", "fast MB", "times smaller"]


def test_a_fresh_process_tells_its_peak():
    step = {"key": "supervised", "patch": (16, 16, 16), "filters": 4, "device": "cpu"}
    assert in_fresh_process(memory.peak_of_step, plain=True, **step) > 2**20


def test_a_fresh_process_that_fails_is_told_in_one_sentence():
    with pytest.raises(SemisegError, match=r"levels_of.*leave its section out"):
        in_fresh_process(levels_of, patch="large")


def test_the_highest_mark_is_at_least_what_is_held_now():
    assert highest_mark() >= psutil.Process().memory_info().rss * 0.9


def test_activations_are_smaller_in_bfloat16():
    section = measure_activations(TINY)
    assert_measured(section, "float32 bytes", "bfloat16 bytes")
    assert all(row["bfloat16 bytes"] < row["float32 bytes"] for row in section.rows)


def test_the_machine_and_its_ceiling_are_described():
    section = measure_machine(TINY)
    found = {row["what"]: row["found"] for row in section.rows}
    assert found["convolution ceiling, float32"].endswith("GFLOP/s")
    assert "% of the ceiling" in found["a supervised step, 4 crops of 16 × 16 × 16"]
    assert "PyTorch" in short_description("cpu")


@pytest.mark.parametrize(("useful", "status"), [(0.0, "stopped"), (1.0, "finished")])
def test_training_goes_on_until_a_prediction_is_useful(tmp_path, useful, status):
    make_study(tmp_path).close()
    given = replace(TINY, study=tmp_path / "small.semiseg", useful=useful, minutes=0.02)
    section = measure_first_prediction(given)
    assert ("was reached" in section.remarks[0]) == (useful == 0.0)
    assert_measured(section, "s after Train", "steps")
    with Study.open(given.study) as study:
        (run,) = study.runs.all()
        assert run.status == status
        assert not study.runs.metrics(run)  # a look at the held-out scans is no evaluation


def test_a_study_without_held_out_scans_is_refused(tmp_path):
    make_study(tmp_path, held_out=0).close()
    with pytest.raises(StudyError, match="held-out"):
        measure_first_prediction(replace(TINY, study=tmp_path / "small.semiseg", minutes=0.02))


def test_the_waits_at_the_start_are_measured(monkeypatch):
    monkeypatch.setattr(start_up, "in_fresh_process", lambda function, **given: function(**given))
    monkeypatch.setattr(start_up, "has_screen", lambda: False)
    section = measure_start_up(TINY)
    waits = {row["what"]: row["s"] for row in section.rows}
    assert waits.pop("dock widget, after napari is up") is None
    assert all(seconds > 0 for seconds in waits.values())
    assert "no screen" in section.remarks[-1]


def test_importing_the_package_is_quick():
    assert seconds_to_import() < start_up.IMPORT_LIMIT


def test_every_section_has_its_function():
    assert all(callable(section_function(key)) for key in SECTIONS)
