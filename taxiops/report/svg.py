"""matplotlib's SVG made fit for a page: CSS variables for colours, own ids, alt text."""

import html
import re

# Colours that are drawn, and the variables that take their place. Light and dark are the page's
# to define; the grey values differ, so that a plot reads in black and white too.
INK, MUTED, GRID = "#010101", "#020202", "#030303"
CANDIDATE, BASELINE, SURFACE = "#040404", "#050505", "#060606"
VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    CANDIDATE: "--candidate",
    BASELINE: "--baseline",
    SURFACE: "--surface",
}
LIGHT = {
    "--ink": "#1c2230",
    "--muted": "#566073",
    "--grid": "#d9dee7",
    "--candidate": "#0b4f9e",
    "--baseline": "#c4711b",
    "--surface": "#ffffff",
}
DARK = {
    "--ink": "#e8ecf3",
    "--muted": "#a3adbd",
    "--grid": "#3a4250",
    "--candidate": "#8cc2ff",
    "--baseline": "#e29a4a",
    "--surface": "#1a1f29",
}


def theme_css(selector: str) -> str:
    """The variables for light and dark, on the selector."""
    light, dark = (
        "".join(f"{name}:{value};" for name, value in theme.items()) for theme in (LIGHT, DARK)
    )
    return f"{selector}{{{light}}}@media (prefers-color-scheme:dark){{{selector}{{{dark}}}}}"


def finished(svg: str, name: str, title: str, alt: str) -> str:
    """The drawing as an <svg> element that may stand in a page beside others.

    name: unique in the page. title and alt are escaped here.
    """
    body = svg[svg.index("<svg") :].strip()
    for colour, variable in VARIABLES.items():
        body = body.replace(colour, f"var({variable})")
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r'xlink:href="#([^"]+)"', rf'xlink:href="#{name}-\1"', body)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, count=1, flags=re.DOTALL)
    labels = (
        f'<title id="{name}-title">{html.escape(title)}</title>'
        f'<desc id="{name}-desc">{html.escape(alt)}</desc>'
    )
    opened = f'<svg role="img" aria-labelledby="{name}-title {name}-desc"'
    body = body.replace("<svg", opened, 1)
    return re.sub(r"(<svg[^>]*>)", lambda found: found.group(1) + labels, body, count=1)


def standalone(svg: str) -> str:
    """The element as a file of its own, with its colours and a background."""
    style = f"<style>{theme_css('svg')}svg{{background:var(--surface)}}</style>"
    drawn = re.sub(r"(<svg[^>]*>)", lambda found: found.group(1) + style, svg, count=1)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{drawn}\n'
