"""One more map, metric and file type, each added in its table alone, shows everywhere."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from napari_semiseg.engine.evaluation.comparison_files import (
    ComparedRun,
    comparison_csv,
    comparison_markdown,
)
from napari_semiseg.engine.evaluation.held_out import Evaluation
from napari_semiseg.engine.evaluation.measures import MEASURES, Measure
from napari_semiseg.engine.evaluation.metrics import CaseMetrics, mean_of
from napari_semiseg.engine.evaluation.recorded import recorded_metrics
from napari_semiseg.engine.inference import window_answers
from napari_semiseg.engine.inference.files import write_maps
from napari_semiseg.engine.inference.maps import MAPS, SharedMap, every_kind
from napari_semiseg.engine.inference.prediction import predict_case
from napari_semiseg.engine.inference.stored_maps import load_maps, store_maps
from napari_semiseg.engine.methods.registry import method_of
from napari_semiseg.engine.study import export_labels, imports
from napari_semiseg.engine.training.comparison import Measured
from napari_semiseg.engine.training.comparison_table import markdown
from napari_semiseg.engine.training.settings import TrainingSettings
from napari_semiseg.engine.volumes import (
    Geometry,
    find_scans,
    formats,
    read_label,
    read_volume,
    write_label,
    write_map,
)
from napari_semiseg.gui.hooks.readers import get_scan_reader
from napari_semiseg.gui.scans.scan_mending import dialog_filter
from napari_semiseg.gui.train.method_shelf import maps_in_words
from napari_semiseg.gui.train.previews import preview_kinds
from napari_semiseg.gui.viewer.layer_data import map_layers
from tests.engine.inference.known_answers import Threshold, finish, make_plan
from tests.gui.comparable_runs import HELD_OUT, add_run, hold_out
from tests.gui.parts_of_the_desk import compare_page, preview_panel, review_page

ONE_MORE = SharedMap(
    "background",
    "background",
    "share",
    limit=0.5,
    box="Background",
    explanation="Bright where nothing is.",
    live="Bright where nothing is yet.",
    air=1.0,
)


@pytest.fixture
def one_more_map(monkeypatch):
    monkeypatch.setitem(MAPS, "background", ONE_MORE)
    monkeypatch.setitem(
        window_answers.OF_A_WINDOW, "background", lambda method, maps: maps.probabilities[:, 0]
    )


def predicted(desk, name="scan_1"):
    plan = make_plan(spacing=(2.0, 1.5, 1.5), class_values=(1, 2))
    method = Threshold(plan, (50, 1000))
    study = desk.open_study.study
    maps = finish(predict_case(method, name, study.scans.read(name), every_kind()))[1]
    run = study.runs.create("ua-mt", {}, 0)
    store_maps(study, run.identifier, maps)
    return run.identifier, maps


def test_one_more_map_is_made_kept_and_written(one_more_map, desk, tmp_path):
    run, maps = predicted(desk)
    made = maps.shared["background"]
    assert made.shape == maps.prediction.shape
    np.testing.assert_allclose(made, maps.prediction == 0, atol=1e-6)
    stored = load_maps(desk.open_study.study, run, "scan_1")
    np.testing.assert_array_equal(stored.shared["background"], made)
    files = write_maps(tmp_path, maps, {})
    np.testing.assert_allclose(read_volume(files["background"]).voxels[0], made)


def test_one_more_map_has_a_layer_and_a_box_on_each_page(one_more_map, desk, qtbot):
    _, maps = predicted(desk)
    layers = dict(map_layers(maps, desk.open_study.study.classes))
    assert layers["background"][1]["name"] == "background"
    assert layers["background"][1]["contrast_limits"] == (0.0, 0.5)
    review, live = review_page(desk), preview_panel(desk)
    for page in (review, live):
        qtbot.addWidget(page)
    assert review.maps["background"].text() == "Background"
    assert review.maps["background"].accessibleName() == "Show background"
    assert live.kinds["background"].text() == "Background"
    assert "background" in preview_kinds()
    assert ", background." in maps_in_words(method_of("supervised"))


@pytest.fixture
def one_more_metric(monkeypatch):
    def found(masks):
        whole = masks.reference.sum()
        return float((masks.predicted & masks.reference).sum() / whole) if whole else None

    measure = Measure(
        "sensitivity",
        "Sensitivity",
        "%",
        1,
        True,
        "Share of your label that was found.",
        computed=found,
        compared=True,
        reported=True,
        column="sensitivity",
    )
    monkeypatch.setitem(MEASURES, "sensitivity", measure)
    return measure


def test_one_more_metric_is_computed_recorded_and_averaged(one_more_metric, desk):
    hold_out(desk.open_study.study)
    run = add_run(desk.open_study.study, "ua-mt", shrunk=3)
    cases = [desk.open_study.study.case(name) for name in HELD_OUT]
    metrics = recorded_metrics(desk.open_study.study, run, cases).current
    assert metrics["scan_1"].classes[1]["sensitivity"] == pytest.approx(0.5)
    assert mean_of(metrics.values()).overall["sensitivity"] == pytest.approx(0.75)
    evaluation = Evaluation(
        run.identifier, {1: "box", 2: "rim"}, metrics, mean_of(metrics.values())
    )
    told = json.loads(json.dumps(evaluation.to_dict()))
    assert told["mean"]["all"]["sensitivity"] == pytest.approx(0.75)


def test_one_more_metric_is_in_every_table(one_more_metric, desk, background, qtbot):
    hold_out(desk.open_study.study)
    add_run(desk.open_study.study, "supervised", shrunk=2)
    run = add_run(desk.open_study.study, "ua-mt", shrunk=3)
    cases = [desk.open_study.study.case(name) for name in HELD_OUT]
    metrics = recorded_metrics(desk.open_study.study, run, cases).current
    compared = [ComparedRun(run.identifier, "UA-MT", metrics)]
    rows = list(csv.DictReader(io.StringIO(comparison_csv(compared, {}))))
    assert float(rows[0]["sensitivity"]) == pytest.approx(0.5)
    assert "Sensitivity, %" in comparison_markdown("", compared, {1: "box", 2: "rim"})
    settings = TrainingSettings(method="ua-mt", steps=1)
    table = markdown([Measured(settings, run.identifier, 1, 1.0, metrics)], {}, "", "")
    assert "| Sensitivity % |" in table
    desk.open_study.refresh()
    page = compare_page(desk)
    qtbot.addWidget(page)
    desk.comparing.refresh()
    background.finish()
    heads = [page.table.verticalHeaderItem(row).text() for row in range(page.table.rowCount())]
    assert "Sensitivity, %" in heads
    assert page.measure.findData("sensitivity") >= 0


def test_figures_of_before_do_not_have_the_one_more_metric(one_more_metric):
    stored = {"unit": "mm", "classes": {"1": {"dice": 0.5}}}
    assert CaseMetrics.from_dict(stored).classes[1]["sensitivity"] is None


@pytest.fixture
def one_more_file_type(monkeypatch):
    def read(path):
        with np.load(path) as stored:
            voxels = stored["voxels"]
            return voxels, Geometry(voxels.shape[1:], stored["affine"]), {}

    def write(path, voxels, geometry, header):
        voxels = voxels if voxels.ndim == 4 else voxels[None]
        np.savez(path, voxels=voxels, affine=geometry.affine)

    one_more = formats.FileType("NumPy", (".npz",), read, write)
    monkeypatch.setattr(formats, "FILE_TYPES", (*formats.FILE_TYPES, one_more))


def test_one_more_file_type_is_read_written_found_and_offered(one_more_file_type, desk, tmp_path):
    geometry = Geometry((4, 5, 6), np.diag([1.0, 2.0, 3.0, 1.0]))
    label = np.zeros(geometry.shape, np.uint8)
    label[1] = 2
    write_label(tmp_path / "label.npz", label, geometry, {2: "rim"})
    read = read_label(tmp_path / "label.npz", geometry)
    np.testing.assert_array_equal(read.voxels, label)
    assert read.class_names == {2: "rim"}, "beside it, as its header has none"
    scans = tmp_path / "more scans"
    scans.mkdir()
    voxels = np.random.default_rng(0).normal(size=geometry.shape).astype(np.float32)
    write_map(scans / "scan_9.npz", voxels, geometry)
    [source] = find_scans([scans])
    assert source.name == "scan_9"
    np.testing.assert_array_equal(read_volume(source).voxels[0], voxels)
    (tmp_path / "labels").mkdir()
    write_label(tmp_path / "labels" / "scan_9.npz", label, geometry)
    lists = imports.CaseLists(None, ())
    for _ in imports.import_cases(desk.open_study.study, [scans], tmp_path / "labels", lists):
        pass
    files = export_labels(desk.open_study.study, tmp_path / "exported", ".npz")
    assert {path.suffix for path in files} == {".npz"}
    assert get_scan_reader(scans / "scan_9.npz") is not None
    assert "*.npz" in dialog_filter()
    assert "*.npz" in dialog_filter(labels_only=True)
    assert "NumPy (.npz)" in formats.readable()
