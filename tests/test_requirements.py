"""What is imported is declared, and what is declared is imported."""

import ast
import configparser
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

TOP = Path(__file__).parents[1]
DISTRIBUTIONS = packages_distributions()  # takes seconds
LOCAL = {"napari_semiseg", "tests", "docs", "sample_data"}


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def declared():
    """Names of the distributions that setup.cfg asks for: always, and by extra."""
    settings = configparser.ConfigParser()
    settings.read(TOP / "setup.cfg", encoding="utf-8")

    def names(requirements):
        return {normal(re.match(r"[\w.-]+", each)[0]) for each in requirements.split("\n") if each}

    always = names(settings["options"]["install_requires"])
    extras = settings["options.extras_require"]
    return always, {extra: names(extras[extra]) for extra in extras}


def imported(*folders):
    """Names of the distributions whose modules the files of the folders import, wherever."""
    modules = set()
    for path in (path for folder in folders for path in (TOP / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                modules.add(node.module.split(".")[0])
    beside = {path.stem for folder in folders for path in (TOP / folder).rglob("*.py")}
    return {
        normal(next(iter(DISTRIBUTIONS.get(module, [module]))))
        for module in modules - set(sys.stdlib_module_names) - LOCAL - beside
    }


def test_what_the_package_imports_is_what_it_asks_for():
    always, extras = declared()
    assert imported("napari_semiseg") - extras["benchmark"] == always


def test_tests_and_documentation_import_only_what_is_asked_for():
    always, extras = declared()
    assert imported("tests", "docs", "sample_data") <= always | extras["test"] | extras["docs"]
