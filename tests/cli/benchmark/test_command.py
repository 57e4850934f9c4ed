"""The verb `benchmark`: its options, its file, and its refusals."""

import json
import subprocess
import sys

import pytest

from napari_semiseg.cli import commands
from napari_semiseg.cli.benchmark import command
from napari_semiseg.cli.benchmark.command import SECTIONS, chosen_sections, parse_patch
from napari_semiseg.cli.benchmark.section import Section, competition
from napari_semiseg.cli.benchmark.table import as_markdown, in_figures, marks_of, write_tables
from napari_semiseg.cli.benchmark.timing import seconds_in_turn
from napari_semiseg.cli.benchmark.workload import QUICK, Workload, in_words, levels_of
from napari_semiseg.engine.errors import SettingsError, StudyError

pytestmark = pytest.mark.trains


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["napari-semiseg", "benchmark", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            commands.main()
        return ended.value.code, *capsys.readouterr()

    return call


def section(title="Waiting", seconds=0.5):
    return Section(title, ({"what": "ours", "s": seconds, "at most s": None},), ("One run.",))


@pytest.fixture
def measured(monkeypatch):
    """Stand-ins for the sections; returns the workloads that they were given."""
    given = {}

    def function(key):
        def measure(workload):
            given[key] = workload
            return section(key)

        return measure

    monkeypatch.setattr(command, "section_function", function)
    return given


def test_a_quick_section_is_measured_and_told_as_json(run):
    status, out, _ = run("--quick", "--only", "metrics", "--json", "--device", "cpu")
    assert status == 0
    data = json.loads(out)
    (row, *_) = data["sections"]["metrics"]["rows"]
    assert row["times faster"] == 1
    assert data["repeats"] == QUICK.repeats


def test_sections_are_shown_to_people_in_the_order_of_the_tables(run, measured):
    status, out, _ = run("--only", "start-up", "machine", "--quick")
    assert status == 0
    assert list(measured) == ["machine", "start-up"]
    assert out.index("machine") < out.index("start-up")


def test_options_change_the_workload(run, measured, tmp_path):
    run("--patch", "112x112x80", "--patch", "64×64×64", "--methods", "dtc", "cps", "--filters", "8",
        "--repeats", "2", "--scan", tmp_path, "--study", tmp_path, "--useful", "0.7", "--minutes", "2",
        "--first-method", "ua-mt", "--only", "steps")  # fmt: skip
    assert measured["steps"] == Workload(
        patches=((80, 112, 112), (64, 64, 64)),
        methods=("dtc", "cps"),
        filters=8,
        repeats=2,
        scan_file=tmp_path,
        study=tmp_path,
        useful=0.7,
        minutes=2.0,
        first_method="ua-mt",
    )


def test_the_file_is_refreshed_section_by_section_and_keeps_notes(run, measured, tmp_path):
    path = tmp_path / "docs" / "benchmarks.md"
    run("--out", path, "--only", "machine", "steps")
    text = path.read_text()
    assert "napari-semiseg benchmark --out" in text
    for key in SECTIONS:
        assert all(mark in text for mark in marks_of(key))
    path.write_text(text.replace("# Benchmarks", "# Benchmarks\n\nBy hand."))
    write_tables(path, {"steps": section("Anew", 3.0)}, tuple(SECTIONS), "origin")
    anew = path.read_text()
    assert "By hand." in anew
    assert "## Anew" in anew
    assert "## machine" in anew
    assert "## steps" not in anew


def test_a_file_that_lost_its_marks_is_left_alone(tmp_path):
    path = tmp_path / "mine.md"
    path.write_text("Mine.")
    with pytest.raises(StudyError, match="no marks"):
        write_tables(path, {"steps": section()}, tuple(SECTIONS), "origin")
    assert path.read_text() == "Mine."


def test_a_file_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="choose another"):
        write_tables(tmp_path / "file" / "x.md", {}, tuple(SECTIONS), "origin")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--only", "nothing"], "nothing"),
        (["--patch", "64x64"], "64x64"),
        (["--patch", "64x64x60"], "64x64x60"),
        (["--device", "abacus", "--only", "metrics", "machine"], "abacus"),
        (["--study", "none.semiseg", "--only", "first-prediction"], "none.semiseg"),
    ],
)
def test_what_is_not_possible_is_refused_in_one_sentence(run, arguments, word):
    status, _, error = run("--quick", *arguments)
    assert status == 1
    assert word in error
    assert "Traceback" not in error


def test_patches_are_written_x_first():
    assert parse_patch("112x96x80") == (80, 96, 112)
    assert in_words((80, 96, 112)) == "112 × 96 × 80"
    with pytest.raises(SettingsError, match="write three numbers"):
        parse_patch("large")


def test_all_sections_are_measured_by_default():
    assert chosen_sections(None) == list(SECTIONS)


@pytest.mark.parametrize(
    ("patch", "levels"), [((16, 16, 16), 2), ((64, 64, 64), 4), ((80, 112, 112), 4)]
)
def test_networks_are_as_deep_as_crops_allow(patch, levels):
    assert levels_of(patch) == levels


def test_competitors_take_turns_and_the_first_turn_does_not_count():
    order = []
    works = {name: lambda name=name: order.append(name) for name in "ab"}
    assert set(seconds_in_turn(works, 2)) == {"a", "b"}
    assert order == ["a", "b"] * 3


def test_rows_of_a_competition_say_how_many_times_faster_each_is():
    rows = competition({"theirs": 2.0, "ours": 0.5}, unit=1e-3, column="ms")
    assert [row["ms"] for row in rows] == [2000, 500]
    assert [row["times faster"] for row in rows] == [1, 4]


@pytest.mark.parametrize(
    ("cell", "text"),
    [(None, "–"), ("x", "x"), (0.12345, "0.123"), (12.0, "12"), (1234.5, "1234"), (0.0, "0")],
)
def test_cells_have_three_digits(cell, text):
    assert in_figures(cell) == text


def test_markdown_names_the_origin_and_aligns_its_columns():
    text = as_markdown(section(), "`command` on a machine.")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert "`command` on a machine." in text
    assert text.endswith("- One run.")


def test_neither_the_package_nor_the_verb_loads_anything_heavy():
    code = (
        "import sys, napari_semiseg; "
        "assert not [name for name in sys.modules if 'benchmark' in name]; "
        "import napari_semiseg.cli.benchmark.command; "
        "assert not {'torch', 'monai', 'napari', 'qtpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
