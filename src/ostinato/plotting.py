"""Pictures of a plan: one lane a value, all on one time axis."""

from __future__ import annotations

import html
import io
from collections.abc import Callable
from itertools import cycle as repeated
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ostinato._samples import extent, sample_steps
from ostinato.balance import Total, total_of
from ostinato.core.schedules import Schedule, Wave
from ostinato.core.units import exact
from ostinato.core.waveforms import FloatArray, IntArray
from ostinato.errors import ConfigError, OstinatoError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ostinato.core.plan import Plan
    from ostinato.core.resolved import ResolvedPlan

__all__ = ["figure", "notebook_html", "plot", "relation", "sample_steps", "save_picture"]

_MOST_LINES = 120
_STEPPED = 120
_INK, _SOFT, _HAIR, _PAPER = "#1c1d20", "#5c5f66", "#d9d4c8", "#fffefb"
_WARM = "#e69f00"
_TONES = {"wave": "#00755a", "mirror": "#9a4a86", "schedule": "#0067a6"}
_DISTINCT = ("#0067a6", "#c04e00", "#00755a", "#9a4a86", "#8a6300", "#1c1d20", "#56b4e9")  # darkened Okabe-Ito
_UNIT_NAMES = {"ep": "epoch"}
_LONGEST_NAME = 44
_STROKES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)))
_SECOND_ROW = 19.0


def relation(schedule: Schedule) -> str:
    """Return what a schedule is to the cycle: ``wave``, ``mirror``, or its kind, such as ``one cycle``.

    >>> from ostinato import wave
    >>> relation(wave(0.0, 0.1).schedule)
    'wave'
    """
    if isinstance(schedule, Wave):
        return "mirror" if schedule.mirrored else "wave"
    return str(getattr(schedule, "name", schedule.kind)).replace("_", " ")


# -- drawing ---------------------------------------------------------------------------------------------------


def plot(resolved: ResolvedPlan, *, ax: Axes | None = None) -> Any:
    """Draw every value over the steps.

    Without `ax`: a figure of its own with a lane for each target, cycle ends as vertical lines and the warm-up shaded; epochs are a
    second scale where `steps_per_epoch` is known. With `ax`: all values in it, each scaled to [0, 1], with a legend.
    No state of pyplot is used or changed; the figure is ``axes[0].figure``.

    Args:
        resolved: The plan with its rates and total.
        ax: Axes to draw into.

    Returns:
        An array of axes, one a target; or `ax`.

    >>> import ostinato as ost
    >>> plan = ost.Plan(total=100, cycle=ost.Cycle(count=5), bindings={"optimizer.lr": ost.wave(0.0, 0.1)})
    >>> plot(plan.resolve()).shape
    (1,)
    """
    if ax is None:
        return np.array(figure(resolved).axes[: max(len(resolved.targets), 1)])
    looks = zip(resolved.targets, repeated(_DISTINCT), repeated(_STROKES), strict=False)
    for place, (target, tone, stroke) in enumerate(looks):
        steps, values = _drawn(resolved, target)
        low, high = extent(resolved, target, values)
        level = (values - low) / (high - low) if high > low else np.full(steps.shape, 0.5)
        width = max(
            2.6 - 0.3 * place, 1.4
        )  # where lines lie on each other, those below show at the sides and in the gaps
        _line(
            ax,
            resolved,
            steps,
            level,
            color=tone,
            linestyle=stroke,
            linewidth=width,
            label=f"{_short(target)}  {_range(low, high)}",
        )
    _dress(ax, resolved)
    ax.set_yticks([0.0, 1.0], ["lowest", "highest"])
    _name_time(ax, resolved)
    if resolved.targets:
        ax.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0.0, 1.01), borderaxespad=0.0, ncols=2)
    return ax


def figure(resolved: ResolvedPlan) -> Figure:
    """Return a matplotlib figure with one lane for each target, and one for the total of rate and strengths where there is one."""
    from matplotlib.figure import Figure

    total = total_of(resolved)
    lanes = max(len(resolved.targets), 1) + (total is not None)
    height = 0.95 + 1.12 * lanes
    drawn = Figure(figsize=(9.0, height), facecolor=_PAPER)
    axes = drawn.subplots(lanes, 1, sharex=True, squeeze=False)[:, 0]
    drawn.subplots_adjust(left=0.085, right=0.975, top=1 - 0.72 / height, bottom=0.5 / height, hspace=0.62)
    for ax, target in zip(axes, resolved.targets, strict=False):
        _lane(ax, resolved, target)
    if not resolved.targets:
        _dress(axes[0], resolved)
        axes[0].set_yticks([])
    if total is not None:
        _total_lane(axes[-1], resolved, total)
    _name_time(axes[-1], resolved)
    drawn.text(0.085, 1 - 0.2 / height, _headline(resolved), color=_INK, fontsize=9.5, va="center", weight="bold")
    drawn.text(0.975, 1 - 0.2 / height, _legend(resolved), color=_SOFT, fontsize=8, va="center", ha="right")
    return drawn


def _lane(ax: Axes, resolved: ResolvedPlan, target: str) -> None:
    binding = resolved.plan.bound[target]
    course = binding.schedule
    steps, values = _drawn(resolved, target)
    low, high = extent(resolved, target, values)
    geometric = isinstance(course, Wave) and course.scale == "geometric" and low > 0 and high > low
    tone = _TONES.get(relation(course), _TONES["schedule"])
    if geometric:
        ax.set_yscale("log")
    _line(ax, resolved, steps, values, color=tone, linewidth=1.6, label=target)
    if not geometric and high > low:
        ax.fill_between(
            steps, values, low, step="post" if resolved.total <= _STEPPED else None, color=tone, alpha=0.09, linewidth=0
        )
    _dress(ax, resolved)
    _scale_values(ax, low, high, geometric)
    ax.set_title(_short(target), loc="left", fontsize=9, color=tone, weight="bold", pad=4)
    words = [relation(course), _range(low, high)]
    words += ["geometric"] if geometric else []
    words += [f"shift {course.shift:g}"] if isinstance(course, Wave) and course.shift else []
    words += ["own cycle"] if isinstance(course, Wave) and course.cycle is not None else []
    words += ["times the original"] if binding.relative else []
    words += ["lr·value follows the plan"] if binding.effective else []
    ax.set_title("  ·  ".join(words), loc="right", fontsize=8, color=_SOFT, pad=4)


def _total_lane(ax: Axes, resolved: ResolvedPlan, total: Total) -> None:
    """Draw what the rate's noise and the regularisers' strengths add up to, after the warm-up."""
    steps = np.unique(np.concatenate([sample_steps(resolved, target) for target in (total.against, *total.parts)]))
    steps = steps[steps >= resolved.warmup]
    values = np.full(steps.shape, total.high) if total.constant else total.curve(steps)
    if resolved.total <= _STEPPED:
        steps, values = np.append(steps, resolved.total), np.append(values, values[-1])
    _line(ax, resolved, steps, values, color=_INK, linewidth=1.6, label="total")
    _dress(ax, resolved)
    ax.set_ylim(0.0, 1.15 * max(total.high, 1e-9))
    ax.set_yticks([0.0, total.high], ["0", _number(total.high)])
    ax.set_title("total of rate and strengths", loc="left", fontsize=9, color=_INK, weight="bold", pad=4)
    words = "constant" if total.constant else f"{_range(total.low, total.high)}, spread {total.spread:.2g}"
    ax.set_title(f"{_short(total.formula)}  ·  {words}", loc="right", fontsize=8, color=_SOFT, pad=4)


def _drawn(resolved: ResolvedPlan, target: str) -> tuple[IntArray, FloatArray]:
    """Return steps and values to draw; in a short run, where every update is a stair, the last one has its width too."""
    steps = sample_steps(resolved, target)
    values = resolved.curves[target](steps)
    if resolved.total <= _STEPPED:
        return np.append(steps, resolved.total), np.append(values, values[-1])
    return steps, values


def _line(ax: Axes, resolved: ResolvedPlan, steps: IntArray, values: FloatArray, **look: Any) -> None:
    stairs = "steps-post" if resolved.total <= _STEPPED else "default"
    ax.plot(steps, values, drawstyle=stairs, solid_joinstyle="round", zorder=3, **look)


def _scale_values(ax: Axes, low: float, high: float, geometric: bool) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    if geometric:
        ratio = (high / low) ** 0.08
        ax.set_ylim(low / ratio, high * ratio)
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_minor_formatter(NullFormatter())
    else:
        room = 0.1 * (high - low) or 0.5 * abs(high) or 0.5
        ax.set_ylim(low - room, high + room)
    ticks = [low, high] if high > low else [low]
    ax.set_yticks(ticks, [_number(tick) for tick in ticks])


def _dress(ax: Axes, resolved: ResolvedPlan) -> None:
    """Give the axes their look, the warm-up and the cycle ends."""
    ax.set_facecolor(_PAPER)
    ax.set_xlim(0, resolved.total)
    ax.margins(x=0)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(_HAIR)
    ax.tick_params(axis="both", colors=_SOFT, labelsize=8, length=0, pad=4)
    if resolved.warmup:
        ax.axvspan(0, resolved.warmup, color=_WARM, alpha=0.18, linewidth=0, zorder=0)
    if len(resolved.cycles) > _MOST_LINES:
        return
    ends = [resolved.cycles[k].end for k in range(len(resolved.cycles)) if resolved.cycles[k].complete]
    ax.vlines(
        ends, 0, 1, transform=ax.get_xaxis_transform(), color=_HAIR, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1, clip_on=False
    )  # fmt: skip


def _name_time(ax: Axes, resolved: ResolvedPlan) -> None:
    """Write the steps below the axes, and the epochs below those where they are known."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    def places() -> MaxNLocator:
        return MaxNLocator(8, integer=True, steps=[1, 2, 2.5, 5, 10])

    ax.xaxis.set_major_locator(places())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda count, _: _count(count)))
    ax.tick_params(axis="x", length=3, color=_HAIR)
    names = [_UNIT_NAMES.get(resolved.plan.unit, resolved.plan.unit)]
    if resolved.rates.steps_per_epoch is not None and resolved.plan.unit == "step":
        rate = float(exact(resolved.rates.steps_per_epoch))
        epochs = ax.secondary_xaxis(0.0, functions=(_times(1 / rate), _times(rate)))
        epochs.xaxis.set_major_locator(places())
        epochs.xaxis.set_major_formatter(FuncFormatter(lambda count, _: _count(count)))
        epochs.tick_params(axis="x", colors=_SOFT, labelsize=8, length=0, pad=_SECOND_ROW)
        epochs.spines[:].set_visible(False)
        names.append("epoch")
    for row, name in enumerate(names):
        offset = (-12.0, -(7.0 + row * (_SECOND_ROW - 7.0)))
        ax.annotate(
            name, (0, 0), xytext=offset, xycoords="axes fraction", textcoords="offset points", fontsize=8, color=_SOFT,
            ha="right", va="top",
        )  # fmt: skip


def _times(factor: float) -> Callable[[Any], Any]:
    return lambda values: np.asarray(values) * factor


# -- words -----------------------------------------------------------------------------------------------------


def _headline(resolved: ResolvedPlan) -> str:
    unit = _UNIT_NAMES.get(resolved.plan.unit, resolved.plan.unit)
    words = [f"{resolved.total:,} {unit}{'s' if resolved.total != 1 else ''}"]
    if resolved.plan.cycle is not None:
        count = len(resolved.cycles)
        words.append(f"{count:,} {resolved.plan.cycle.waveform} cycle{'s' if count != 1 else ''}")
    return ", ".join(words)


def _legend(resolved: ResolvedPlan) -> str:
    words = ["shaded: warm-up"] if resolved.warmup else []
    if 0 < len(resolved.cycles) <= _MOST_LINES:
        words.append("dotted: end of a cycle, snapshot")
    if resolved.truncated:
        words.append("the last cycle is cut")
    return "   ".join(words)


def _short(target: str) -> str:
    """Return a target, its middle left out where it is long."""
    half = _LONGEST_NAME // 2
    text = target if len(target) <= _LONGEST_NAME else f"{target[: half - 1]}…{target[-half:]}"
    return text.replace("$", r"\$")


def _number(value: float) -> str:
    return f"{value:.4g}"


def _range(low: float, high: float) -> str:
    return f"{_number(low)} to {_number(high)}" if high > low else _number(low)


def _count(count: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M")):
        if abs(count) >= size:
            return f"{count / size:g}{letter}"
    return f"{count:,.0f}"


# -- files and notebooks ---------------------------------------------------------------------------------------


def render(resolved: ResolvedPlan, kind: str) -> bytes:
    """Return the picture as the bytes of an SVG or PNG file, the same for the same plan."""
    from matplotlib import rc_context

    buffer = io.BytesIO()
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {}
    with rc_context(
        {"svg.hashsalt": "ostinato", "svg.fonttype": "path", "font.family": "DejaVu Sans", "path.simplify": True}
    ):
        figure(resolved).savefig(buffer, format=kind, dpi=160, metadata=metadata)
    return buffer.getvalue()


def save_picture(resolved: ResolvedPlan, path: str | Path) -> None:
    """Write the picture as .svg or .png, whole or not at all; the same plan gives the same bytes.

    Raises:
        ConfigError: The name ends in something else.
        StorageError: The file cannot be written.

    >>> import tempfile, ostinato as ost
    >>> place = Path(tempfile.mkdtemp()) / "plan.svg"
    >>> save_picture(ost.Plan(total=10, bindings={"optimizer.lr": 0.1}).resolve(), place)
    >>> place.read_bytes()[:5]
    b'<?xml'
    """
    from ostinato.atomic import write_bytes

    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in ("svg", "png"):
        raise ConfigError(f"picture: got {str(path)!r}, expected a name that ends in .svg or .png")
    write_bytes(Path(path), render(resolved, kind))


def notebook_html(plan: Plan) -> str:
    """Return the display of a plan in a notebook: its picture and a table, or a table and the reason why there is no picture.

    >>> import ostinato as ost
    >>> "steps_per_epoch" in notebook_html(ost.Plan(total="5ep", bindings={"optimizer.lr": 0.1}))
    True
    """
    rows = "".join(_row(target, plan) for target in plan.bound)
    table = (
        '<table style="border-collapse:collapse;font-size:13px"><thead><tr>'
        + "".join(f'<th style="text-align:left">{name}</th>' for name in ("target", "relation", "low", "high", "shift"))
        + f"</tr></thead><tbody>{rows}</tbody></table>"
    )
    try:
        picture = _inline(plan.resolve())
    except OstinatoError as error:
        return f'<div>{table}<p style="font-size:13px">No picture yet: {html.escape(str(error))}</p></div>'
    return f"<div>{picture}{table}</div>"


def _inline(resolved: ResolvedPlan) -> str:
    """Return the picture as an SVG element that a page can hold."""
    text = render(resolved, "svg").decode()
    label = html.escape(_headline(resolved), quote=True)
    return text[text.index("<svg") :].replace(
        "<svg ", f'<svg role="img" aria-label="{label}" style="max-width:100%;height:auto" ', 1
    )


def _row(target: str, plan: Plan) -> str:
    course = plan.bound[target].schedule
    ends = [f"{course.low:g}", f"{course.high:g}", f"{course.shift:g}"] if isinstance(course, Wave) else ["", "", ""]
    cells = [f"<code>{html.escape(target)}</code>", html.escape(relation(course)), *ends]
    return "<tr>" + "".join(f'<td style="text-align:left;padding-right:1.5em">{cell}</td>' for cell in cells) + "</tr>"
