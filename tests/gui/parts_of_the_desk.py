"""Pages and panels made for the parts of a session, as the desk makes them."""

from napari_semiseg.gui.compare.page import ComparePage
from napari_semiseg.gui.frame.run_strip import RunStrip
from napari_semiseg.gui.label.page import LabelPage
from napari_semiseg.gui.label.suggestion_panel import SuggestionPanel
from napari_semiseg.gui.review.page import ReviewPage
from napari_semiseg.gui.review.time_panel import TimePanel
from napari_semiseg.gui.scans.page import ScansPage
from napari_semiseg.gui.scans.welcome import WelcomePage
from napari_semiseg.gui.train.page import TrainPage
from napari_semiseg.gui.train.preview_panel import PreviewPanel


def scans_page(session):
    return ScansPage(session.open_study, session.on_show, session.scans, session.overview)


def welcome_page(session, recent):
    return WelcomePage(session.open_study, session.scans, recent)


def label_page(session):
    return LabelPage(session.open_study, session.on_show, session.labelling, session.suggesting)


def suggestion_panel(session):
    return SuggestionPanel(session.open_study, session.suggesting)


def train_page(session):
    return TrainPage(session.open_study, session.on_show, session.maps, session.training)


def preview_panel(session):
    return PreviewPanel(session.on_show, session.maps, session.training)


def review_page(session):
    return ReviewPage(
        session.open_study, session.on_show, session.maps, session.slices, session.reviewing
    )


def time_panel(session):
    return TimePanel(session.open_study, session.on_show)


def compare_page(session):
    return ComparePage(session.open_study, session.comparing, lambda: session.training.active)


def run_strip(session):
    return RunStrip(session.open_study, session.training)
