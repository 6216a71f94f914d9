"""The report: one page that loads nothing, says the verdict first, and runs nobody's content."""

import copy
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taxiops.errors import EvidenceError, TaxiopsError, UsageError
from taxiops.report import ReportFiles, write_report
from taxiops.report.report_markdown import escaped
from taxiops.report.samples import parse_samples

from .conftest import SAMPLES, comparison_of

VOID = {"meta", "link", "br", "img", "input", "hr"}
EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>$\\frac{1}{0}$ @team | `x` \x1b[31m'


class Page(HTMLParser):
    """What a browser would make of the page: tags, attributes, text, and whether tags match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def written(tmp_path: Path, comparison: dict[str, Any], samples: dict[str, Any]) -> ReportFiles:
    return write_report(tmp_path / "report", comparison, samples)


def page_of(files: ReportFiles) -> Page:
    return Page(files.html.read_text(encoding="utf-8"))


def test_the_report_is_a_page_a_comment_and_plots(written: ReportFiles) -> None:
    folder = written.html.parent
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))
    assert found == [
        "plots/errors.svg",
        "plots/metrics.svg",
        "plots/predictions.svg",
        "plots/slices.svg",
        "report.html",
        "report.md",
    ]
    assert sorted(written.plots) == sorted(folder.glob("plots/*.svg"))


def test_the_page_is_well_formed_and_says_the_verdict_first(written: ReportFiles) -> None:
    page = page_of(written)
    assert page.open == []
    body = page.text[page.text.index("@media print") :]
    assert body.index("The candidate is better") < body.index("Metrics") < body.index("Slices")
    assert body.index("Slices") < body.index("Worst trips") < body.index("Provenance")


def test_the_page_loads_nothing_and_runs_nothing(written: ReportFiles) -> None:
    page = page_of(written)
    assert not {"script", "iframe", "object", "embed", "form", "img"} & set(page.tags)
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("href", "src", "xlink:href", "action"):
            assert value.startswith(("#", "data:,"))
    text = written.html.read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not re.search(r"@import|url\((?!#)", text)


def test_every_plot_has_its_words_and_every_id_is_its_own(written: ReportFiles) -> None:
    page = page_of(written)
    assert page.tags.count("svg") == 4
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    for name, value in page.attributes:
        if name == "aria-labelledby":
            assert set(value.split()) <= set(ids)
        if name == "xlink:href":
            assert value[1:] in ids
    assert "Within one dollar are 80 % of the candidate's predictions" in page.text
    assert "1 certainly worse: distance: 1 mile and more" in page.text


def test_the_colours_are_the_pages_own_for_light_and_dark(written: ReportFiles) -> None:
    for path in (written.html, *written.plots):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"#0[1-6]0[1-6]0[1-6]", text)
        assert "prefers-color-scheme:dark" in text
        used = set(re.findall(r"var\((--[a-z]+)\)", text))
        assert used <= set(re.findall(r"(--[a-z]+):", text))


def test_figures_and_provenance_are_on_the_page(written: ReportFiles) -> None:
    text = page_of(written).text
    for shown in (
        *("2.000 USD", "2.500 USD", "+20.0 %", "12.00 %", "0.9000"),
        *("jolly_tree", "0123456789abcdef", "taxi-class-dev version 3 (serving now)", "trips.csv"),
        *("2016-01-01 00:00:00", "max_iter ≠", "pickup_hour", "min_relative_improvement"),
    ):
        assert shown in text, shown


def test_slices_without_an_interval_are_named(written: ReportFiles) -> None:
    for text in (page_of(written).text, written.markdown.read_text(encoding="utf-8")):
        assert re.search(r"Not compared, for want of test trips.*pickup: Staten Island \(1\)", text)


@pytest.mark.parametrize(
    ("candidate", "half_width", "headline", "gate"),
    [
        (2.0, 0.1, "The candidate is better", "passes"),
        (2.6, 0.05, "The candidate is not good enough", "refuses"),
        (2.45, 0.2, "Not decided: more trips are needed", "refuses"),
    ],
)
def test_each_verdict_has_its_headline(
    tmp_path: Path, candidate: float, half_width: float, headline: str, gate: str
) -> None:
    files = write_report(tmp_path, comparison_of(candidate, half_width), None)
    assert headline in page_of(files).text
    markdown = files.markdown.read_text(encoding="utf-8")
    assert headline in markdown.splitlines()[0]
    assert f"**{gate}**" in markdown


def test_without_samples_there_is_still_a_report(
    tmp_path: Path, comparison: dict[str, Any]
) -> None:
    files = write_report(tmp_path, {**comparison, "slices": [], "slice_confidence": 0.95}, None)
    assert [path.name for path in files.plots] == ["metrics.svg"]
    assert "Worst trips" not in page_of(files).text


def test_empty_samples_leave_their_plots_away(
    tmp_path: Path, comparison: dict[str, Any], samples: dict[str, Any]
) -> None:
    nothing = {"edges": [], "candidate": [], "baseline": []}
    points = {"actual": [], "candidate": [], "baseline": []}
    samples.update(error_histogram=nothing, predicted_vs_actual=points, worst_trips=[])
    for optional in ("error_quantiles", "bias_usd", "features"):
        del samples[optional]
    files = write_report(tmp_path, comparison, samples)
    assert {path.stem for path in files.plots} == {"metrics", "slices"}
    assert page_of(files).open == []


def test_the_same_comparison_makes_the_same_bytes(
    tmp_path: Path, comparison: dict[str, Any], samples: dict[str, Any]
) -> None:
    one, other = (write_report(tmp_path / name, comparison, samples) for name in "ab")
    for first, second in zip((one.html, one.markdown), (other.html, other.markdown), strict=True):
        assert first.read_bytes() == second.read_bytes()
    assert [path.read_bytes() for path in one.plots] == [path.read_bytes() for path in other.plots]


def test_a_comparison_that_contradicts_itself_has_no_report(
    tmp_path: Path, comparison: dict[str, Any]
) -> None:
    comparison["improved"] = False
    with pytest.raises(EvidenceError, match="improved"):
        write_report(tmp_path / "report", comparison, None)
    assert not (tmp_path / "report").exists()


def test_hostile_content_is_shown_and_never_run(
    tmp_path: Path, comparison: dict[str, Any], samples: dict[str, Any]
) -> None:
    for name in ("branch", "commit"):
        comparison[name] = EVIL
    comparison["job"]["name"] = comparison["test_data"]["source"] = EVIL
    comparison["slices"][0]["slice"] = comparison["baseline"]["name"] = EVIL
    comparison["slices"][1]["slice"] = "]]></svg><script>alert(3)</script>"
    comparison["slices"][2]["slice"] = "\u202edrawkcab \u0000 \u51fa\u79df\u8f66 \ufffe"
    comparison["slices_uncompared"][0]["slice"] = EVIL
    comparison["candidate"]["path"] = "javascript:alert(4)"
    samples["worst_trips"][0]["trip"] = {"pickup_datetime": EVIL, EVIL: EVIL, "pickup_zone": {}}
    samples["features"] = {EVIL: {"mean": EVIL}}
    samples["candidate_metadata"] = {"kind": EVIL, "params": {EVIL: EVIL}, "features": [EVIL, 3]}
    files = write_report(tmp_path, comparison, samples)
    page = page_of(files)
    assert page.open == []
    assert not {"script", "img"} & set(page.tags)
    assert "onerror" not in [name for name, _ in page.attributes]
    assert "alert(1)" in page.text
    for path in files.plots:
        ElementTree.fromstring(path.read_text(encoding="utf-8"))
    text = files.markdown.read_text(encoding="utf-8")
    outside_of_code = re.sub(r"`[^`\n]*`", "", text)
    for markup in ("<script", "<img", "@team", "$"):
        assert markup not in outside_of_code.replace("\\$", "")
    for shown in (files.html.read_text(encoding="utf-8"), text):
        assert not re.search("[\x00\x1b\u202e\ufffe]", shown)


def test_every_row_of_the_comments_tables_has_all_its_cells(
    tmp_path: Path, comparison: dict[str, Any]
) -> None:
    comparison["slices"][0]["slice"] = EVIL
    text = write_report(tmp_path, comparison, None).markdown.read_text(encoding="utf-8")
    tables = re.findall(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    assert len(tables) == 2
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", "a\\|b"),
        ("*x* _y_ `z`", "\\*x\\* \\_y\\_ \\`z\\`"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("[a](http://x)", "\\[a\\](http:\u2060//x)"),
        ("@me www.x.org", "@\u2060me www\u2060.x.org"),
        ("two\nlines", "two lines"),
    ],
)
def test_text_in_the_comment_is_no_markup(text: str, shown: str) -> None:
    assert escaped(text) == shown


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"error_histogram": None}, "error_histogram"),
        ({"error_histogram": {**SAMPLES["error_histogram"], "candidate": [1]}}, "candidate"),
        ({"error_histogram": {**SAMPLES["error_histogram"], "edges": [1, 1, 2, 3, 4]}}, "edges"),
        (
            {"predicted_vs_actual": {**SAMPLES["predicted_vs_actual"], "actual": [1, "2", 3]}},
            r"predicted_vs_actual\.actual\.1",
        ),
        ({"worst_trips": [{"actual": 1, "candidate": 2}]}, r"worst_trips\[0\]\.baseline"),
        ({"bias_usd": {"candidate": float("nan"), "baseline": 0}}, r"bias_usd\.candidate"),
        ({"schema_version": 2}, "schema_version"),
        ({"candidate_metadata": []}, "candidate_metadata"),
    ],
)
def test_samples_of_the_wrong_kind_are_refused(change: dict[str, Any], field: str) -> None:
    with pytest.raises(UsageError, match=rf"samples\.json: .*{field}"):
        parse_samples({**SAMPLES, **change})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=200)
@given(st.sampled_from(sorted(SAMPLES)), st.text(max_size=6), JSON)
def test_no_mutation_of_samples_fails_in_another_way(name: str, key: str, value: object) -> None:
    document = copy.deepcopy(SAMPLES)
    if isinstance(document[name], dict) and key:
        document[name][key] = value
    else:
        document[name] = value
    for changed in (document, {**document, name: value}):
        try:
            parse_samples(changed)
        except TaxiopsError:
            continue


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.text(min_size=1, max_size=20), min_size=3, max_size=3), st.floats(0.001, 1e12))
def test_any_slice_name_and_any_figure_can_be_drawn(
    tmp_path: Path, names: list[str], candidate: float
) -> None:
    comparison = comparison_of(candidate, candidate / 3)
    for row, name in zip(comparison["slices"], names, strict=True):
        row["slice"] = name
    files = write_report(tmp_path, comparison, SAMPLES)
    assert page_of(files).open == []
    for path in files.plots:
        ElementTree.fromstring(path.read_text(encoding="utf-8"))


def test_a_folder_that_cannot_be_written_is_named(
    tmp_path: Path, comparison: dict[str, Any]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"file.*cannot be written"):
        write_report(tmp_path / "file", comparison, None)
