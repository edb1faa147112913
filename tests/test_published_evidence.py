"""The published evidence: RESULTS.md and the README say what results.json says, and a quick run says it again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.evidence import __main__ as command
from benchmarks.evidence import readme, results, sets
from benchmarks.evidence.ablations import ABLATIONS, BASES
from benchmarks.evidence.extent import EXTENTS, PUBLISHED, WHOLE
from benchmarks.evidence.measure import FAIRNESS
from benchmarks.evidence.methods import METHODS, RESPO
from benchmarks.evidence.plan import UNMODIFIED
from benchmarks.evidence.tables import TABLES, table, verdicts
from respo_train.evaluation.figure import Figure

ROOT = Path(__file__).resolve().parent.parent
ABLATED = PUBLISHED / "ablations"
ENOUGH = 1300  # pictures for each of our own ratios


@pytest.fixture(scope="module")
def whole():
    return results.read(PUBLISHED / "results.json")


def test_every_method_is_there_with_an_assignments_best_and_a_coin(whole):
    assert set(whole) == {*METHODS, "perfect", "coin_flip", "judge"}


def test_our_own_ratios_are_of_enough_pictures(whole):
    assert all(whole[RESPO][f"deviation_{task}"].n >= ENOUGH for task in FAIRNESS)


@pytest.mark.parametrize("name", ["whole", "ablations", "transformer"])
def test_the_page_says_what_the_figures_say(name):
    extent = EXTENTS.get(name, WHOLE)
    page = (extent.published / "RESULTS.md").read_text(encoding="utf-8").splitlines()
    found = results.read(extent.published / "results.json")
    wanted = verdicts(found[RESPO], extent.page.targets) if extent.page.targets else []
    for columns in TABLES.values():
        wanted += table(columns, {name: own for name, own in found.items() if name != "judge"}, of=extent.methods)
    assert [line for line in wanted if line not in page] == []
    assert not any("not the frozen one" in line for line in page)


def test_every_ablation_is_there_beside_what_it_is_compared_with():
    found = results.read(ABLATED / "results.json")
    assert set(found) == {UNMODIFIED, *BASES, *ABLATIONS, "perfect", "coin_flip", "judge"}
    assert "respo-long" in (ABLATED / "RESULTS.md").read_text(encoding="utf-8")


def test_what_a_later_run_keeps_is_what_the_page_says(whole):
    for name, one in sets.read_published().items():
        row = whole[name.split(":")[0]]
        figures = {key: Figure.from_dict(plain) for key, plain in one["figures"].items()}
        assert all(repr(row[key]) == repr(figure) for key, figure in figures.items())  # NaN equals nothing


def test_published_figures_are_of_todays_settings_modules_and_judges():
    """By any Python and PyTorch; whether today's code draws the same pictures `run.py evidence --check` finds out."""
    options = command._parser().parse_args(["--check"])
    plan = command.plan_of(options)
    known = sets.read_published()
    found = {one.name: one.made for one in sets.sets_of(plan, command.modules_for(plan, options))}
    assert list(found) == list(known)
    for name, made in found.items():
        decisive = {key: value for key, value in made.items() if key not in ("host", "torch")}
        assert decisive.items() <= known[name]["made"].items()
        assert "sample" not in known[name] or len(known[name]["sample"]["labels"]) == sets.SAMPLE


def test_the_readme_says_what_the_figures_say(whole):
    text = readme.README.read_text(encoding="utf-8")
    assert readme.with_block(text, whole) == text


def test_a_readme_without_a_place_for_it(whole):
    with pytest.raises(ValueError, match="expected the lines"):
        readme.with_block("# Respo\n", whole)


@pytest.mark.parametrize(("folder", "least"), [(PUBLISHED, 4), (ABLATED, 2)], ids=["results", "ablations"])
def test_pictures_of_the_page_are_there_and_light(folder, least):
    page = (folder / "RESULTS.md").read_text(encoding="utf-8")
    shown = [line.split("(")[1][:-1] for line in page.splitlines() if line.startswith("![")]
    assert len(shown) >= least
    assert all((folder / name).stat().st_size < 300_000 for name in shown)


@pytest.mark.parametrize("folder", [PUBLISHED, ABLATED], ids=["results", "ablations"])
def test_the_page_leads_to_the_bench(folder):
    page = (folder / "RESULTS.md").read_text(encoding="utf-8")
    assert (folder / page.split("[Emoji World](")[1].split(")")[0]).resolve() == ROOT / "emoji_world" / "README.md"


def run_quick(folder: Path, *arguments: str) -> dict[str, dict[str, Figure]]:
    """Return a quick run's figures. What it has drawn once it keeps, as any run does."""
    started = [sys.executable, "-m", "benchmarks.evidence", "--quick", "--out", folder, *arguments]
    done = subprocess.run(started, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert (folder / "quick" / "RESULTS.md").is_file()
    return results.read(folder / "quick" / "results.json")


@pytest.mark.slow  # two minutes on two cores
def test_the_least_that_can_be_drawn_has_every_row(whole):
    """Two pictures of one profession of each kind and of one thing: every way of drawing, judging and writing."""
    least = run_quick(ROOT / "out" / "evidence-least", "--images", "2", "--professions", "doctor", "welder", "dog")
    assert set(least) == set(whole)
    assert set(whole[RESPO]) <= set(least[RESPO])  # a column may be younger than the published page
    assert least[RESPO]["deviation_gender"].value < least[UNMODIFIED]["deviation_gender"].value / 2
    assert least[RESPO]["subjects_gated_identical"].value == 1


@pytest.fixture(scope="module")
def quick():
    """Run the quick evidence: ten minutes on two cores."""
    return run_quick(ROOT / "out" / "evidence")


@pytest.mark.slow
def test_a_quick_run_has_every_row(quick, whole):
    assert set(quick) == set(whole)


@pytest.mark.slow
@pytest.mark.parametrize("task", FAIRNESS)
def test_a_quick_run_agrees_that_bias_is_gone(quick, task):
    name = f"deviation_{task}"
    assert quick[RESPO][name].high < quick[UNMODIFIED][name].low / 2
    assert quick["perfect"][name].value < 0.01


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["agreement_gender", "agreement_skin", "background_psnr_gender"])
def test_a_quick_run_agrees_within_the_intervals(quick, whole, metric):
    """Not on deviation ratios: of six pictures each failure counts more than of many."""
    known = {name: own[metric] for name, own in whole.items() if metric in own}
    assert len(known) > 5
    apart = {
        name: (quick[name][metric], figure)
        for name, figure in known.items()
        if quick[name][metric].low > figure.high or quick[name][metric].high < figure.low
    }
    assert apart == {}


@pytest.mark.slow
def test_a_quick_run_agrees_on_weapons(quick):
    assert quick[RESPO]["weapons_night"].value < quick[UNMODIFIED]["weapons_night"].value / 2
