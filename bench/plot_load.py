#!/usr/bin/env python3
"""Draws what `foretoken bench load --json` or bench/load_against_llama_server.py measured.

    bench/plot_load.py load.json > load.svg
    bench/plot_load.py load.json -o load.svg

Needs nothing but Python 3: the SVG is written by hand. One panel each for throughput, the ratio to
`off` (or to llama-server), the time to the first token and the time per token, over the clients.
"""
import argparse
import html
import json
import math
import sys

WIDTH, HEIGHT = 430, 290  # of a panel
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 34, 44  # its margins
COLOURS = ["#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf", "#8c564b"]
INK, FAINT = "#222222", "#dddddd"


class Line:
    """A named row of (x, y) points; missing values are left out."""

    def __init__(self, name, points, colour, dashes=""):
        self.name = name
        self.points = [(x, y) for x, y in points if y is not None]
        self.colour = colour
        self.dashes = dashes


def nice_step(span, steps):
    """The smallest of 1, 2, 5 times a power of ten that divides `span` into at most `steps`."""
    power = 10 ** math.floor(math.log10(span / steps))
    return next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= steps)


def text(x, y, words, anchor="middle", size=12, extra=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" {extra}>'
            f"{html.escape(words)}</text>")


def label(value):
    return f"{value:.6g}"


class Panel:
    """One chart: categories along x, numbers along y."""

    def __init__(self, title, y_title, categories, lines, level=None):
        self.title = title
        self.y_title = y_title
        self.categories = categories
        self.lines = [line for line in lines if line.points]
        self.level = level  # a horizontal line to compare with
        values = [y for line in self.lines for _, y in line.points] + ([level] if level else [])
        top, bottom = max(values, default=1), 0
        if level:  # a ratio: what matters is near the level
            bottom = min(values) * 0.98
        step = nice_step(max(top - bottom, 1e-9) * 1.04, 6)
        self.low = math.floor(bottom / step) * step
        self.high = max(math.ceil(top / step), math.floor(bottom / step) + 1) * step
        self.step = step

    def x(self, category):
        inner = WIDTH - LEFT - RIGHT
        return LEFT + inner * (self.categories.index(category) + 0.5) / len(self.categories)

    def y(self, value):
        inner = HEIGHT - TOP - BOTTOM
        return TOP + inner * (self.high - value) / (self.high - self.low)

    def axes(self):
        yield text(WIDTH / 2, 18, self.title, size=14, extra='font-weight="bold"')
        for i in range(round((self.high - self.low) / self.step) + 1):
            value = self.low + i * self.step
            y = self.y(value)
            yield (f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
                   f'stroke="{FAINT}"/>')
            yield text(LEFT - 6, y + 4, label(value), "end", 11)
        for category in self.categories:
            yield text(self.x(category), HEIGHT - BOTTOM + 16, str(category), size=11)
        yield (f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" '
               f'stroke="{INK}"/>')
        yield text(WIDTH / 2, HEIGHT - 8, "clients")
        middle = (TOP + HEIGHT - BOTTOM) / 2
        yield text(14, middle, self.y_title, extra=f'transform="rotate(-90 14 {middle:.1f})"')

    def curves(self):
        if self.level:
            y = self.y(self.level)
            yield (f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
                   f'stroke="{INK}" stroke-dasharray="2 3"/>')
        for line in self.lines:
            points = [(self.x(x), self.y(y)) for x, y in line.points]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            yield (f'<polyline points="{path}" fill="none" stroke="{line.colour}" '
                   f'stroke-width="2" stroke-dasharray="{line.dashes or "none"}"/>')
            for x, y in points:
                yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{line.colour}"/>'

    def draw(self, left, top):
        yield f'<g transform="translate({left} {top})">'
        yield from self.axes()
        yield from self.curves()
        yield "</g>"


def legend(lines, left, top):
    """Each name once, as it is drawn."""
    drawn = {}
    for line in lines:
        drawn.setdefault(line.name, line)
    x = left
    for name, line in drawn.items():
        yield (f'<line x1="{x}" x2="{x + 26}" y1="{top}" y2="{top}" stroke="{line.colour}" '
               f'stroke-width="2" stroke-dasharray="{line.dashes or "none"}"/>')
        yield text(x + 32, top + 4, name, "start")
        x += 50 + 7 * len(name)


def name_of(mode):
    return f"{mode} drafted" if mode.isdigit() else mode


def panels_of(report):
    results = [r for r in report["results"] if r["concurrency"] is not None]
    if not results:
        sys.exit("nothing to draw: no result has a concurrency")
    categories = sorted({r["concurrency"] for r in results})
    modes = list(dict.fromkeys(r["mode"] for r in results))
    colours = {mode: COLOURS[i % len(COLOURS)] for i, mode in enumerate(modes)}

    def lines(value, suffix="", dashes="", chosen=tuple(modes)):
        return [Line(name_of(mode) + suffix, [(r["concurrency"], value(r)) for r in results
                                     if r["mode"] == mode], colours[mode], dashes)
                for mode in chosen]

    def both(key):
        return (lines(lambda r: r[key]["p50"])
                + lines(lambda r: r[key]["p99"], " p99", "2 3"))

    base = report.get("ratio_base", "off")
    ratios = lines(lambda r: (r.get("ratio_to_off") or {}).get("median"),
                   chosen=[mode for mode in modes if mode != base])
    ceiling = report.get("ceiling", {}).get("points", [])
    ratios.append(Line("ceiling of a fixed length, decoding only",
                       [(p["concurrency"], p["ratio"]) for p in ceiling], INK, "6 3"))
    return [
        Panel("Throughput", "tokens/s, all clients", categories,
              lines(lambda r: r["aggregate_tokens_per_second"])),
        Panel(f"Throughput, ratio to {base}", "ratio", categories, ratios, level=1.0),
        Panel("Time to first token", "ms", categories, both("ttft_ms")),
        Panel("Time per token", "ms", categories, both("tpot_ms")),
    ]


def svg(report):
    panels = panels_of(report)
    settings = report["settings"]
    width, height = 2 * WIDTH, 2 * HEIGHT + 64
    draft = f", draft {settings['draft']}" if settings.get("draft") else ""
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
           f'viewBox="0 0 {width} {height}" font-family="sans-serif" fill="{INK}">')
    yield f'<rect width="{width}" height="{height}" fill="white"/>'
    yield text(width / 2, 22, f"{settings['model']}{draft}, {settings['max_tokens']} tokens an "
               "answer", size=15)
    for i, panel in enumerate(panels):
        yield from panel.draw(i % 2 * WIDTH, 32 + i // 2 * HEIGHT)
    yield from legend([line for panel in panels for line in panel.lines], 24, height - 14)
    yield "</svg>"


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", type=argparse.FileType(encoding="utf-8"),
                        help="the report; - is standard input")
    parser.add_argument("-o", "--output", type=argparse.FileType("w", encoding="utf-8"),
                        default=sys.stdout, help="the SVG (default: standard output)")
    options = parser.parse_args()
    try:
        report = json.load(options.json)
        drawing = "\n".join(svg(report))
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        sys.exit(f"{options.json.name}: not a report of a load: {error!r}")
    options.output.write(drawing + "\n")


if __name__ == "__main__":
    main()
