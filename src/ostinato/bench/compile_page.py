"""``docs/compile.md``: the page on compiled steps, with the tables measured on this machine.

Made by ``python -m ostinato.bench.compile_page docs/compile.md``; it takes some minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ostinato.atomic import write_bytes
from ostinato.bench.compile import measure
from ostinato.bench.harness import Row, machine
from ostinato.bench.optimizer_forms import FORMS, Outcome, measure_forms

__all__ = ["main", "render_page"]

_HEAD = """# Compiled steps

Made by `python -m ostinato.bench.compile_page docs/compile.md`; do not edit.

Machine: {machine}.

`torch.compile` takes a plain number of a module as a constant. A number that changes at every step is compiled again at every step, and
after 8 times the function runs uncompiled. The limit is one for each code object: a module that exceeds it spoils every other use of the
same `forward`. What a plan drives therefore has to be a tensor that is filled in place:

```python
import ostinato as ost

print(ost.nn.compile_safe(model, plan, loss=criterion, optimizer=optimizer))   # before torch.compile and plan.bind
model = torch.compile(model)
scheduler = plan.bind(model=model, loss=criterion, optimizer=optimizer)
```

`compile_safe` changes the class of exactly the modules that the plan drives, where they are, and says which. Give it the optimizer only if
its step is compiled too; on a CPU an eager step with `fused=True` is faster than a compiled one.

## Recompiles of a training step

After the second step, over 3 cycles of 12 steps: in our form (Inductor), and with plain numbers (`aot_eager`, which Dynamo recompiles alike).

| hyperparameter | ours | plain numbers |
|---|---|---|
"""

_VOICES = """
*together* are all of the above but `augment`; the *concert* has lr, weight_decay, dropout, bn_momentum, label_smoothing and `augment`: the
strength of an augmentation that happens before the compiled part, where a plain number may change freely.
"""

_FORMS = """
## Optimizers

One hyperparameter changes at every call of a compiled `optimizer.step()`. **yes**: nothing is compiled after the second call, in one graph,
and the weights are those of eager steps within 1e-5. Otherwise the reason: *recompiles*, *breaks* (the step is cut in pieces or not
compiled), *wrong* (nothing is compiled again, but an old value is used), *refused* (torch raises an error), `-` (there is no such option).

| optimizer | hyperparameter | number | tensor | tensor, `capturable=True` |
|---|---|---|---|---|
"""

_FOOT = """
Not possible in any form: {impossible}. Leave such a step uncompiled, where every number may change freely.

The first time that a number (a weight decay, a momentum) reaches exactly 0 costs one compilation more, since torch skips the term at 0.
"""


def render_page(rows: Sequence[Row], outcomes: Sequence[Outcome]) -> str:
    """Return the page as Markdown."""
    where = ", ".join(f"{key} {value}" for key, value in machine().items() if value is not None)
    counted, timed = rows
    lines = [_HEAD.format(machine=where)]
    for name, text in counted.detail.items():
        if name != "what":
            ours, _, plain = text.partition(" (")
            lines.append(f"| {name} | {ours} | {plain.removesuffix(')')} |\n")
    lines.append(_VOICES)
    low, high = timed.spread
    lines.append(f"\nTime of a step with all seven scheduled over the same step with fixed values: {timed.ratio:.3f}")
    lines.append(f" ({low:.3f} to {high:.3f}).\n{_FORMS}")
    table: dict[tuple[str, str], dict[str, Outcome]] = {}
    for outcome in outcomes:
        table.setdefault((outcome.optimizer, outcome.key), {})[outcome.form] = outcome
    for (optimizer, key), forms in table.items():
        lines.append(f"| {optimizer} | {key} | {' | '.join(_told(forms.get(form)) for form in FORMS)} |\n")
    none = [f"{key} of {name}" for (name, key), forms in table.items() if not any(o.works for o in forms.values())]
    lines.append(_FOOT.format(impossible=", ".join(none) or "nothing"))
    return "".join(lines)


def _told(outcome: Outcome | None) -> str:
    if outcome is None:
        return "-"
    if outcome.works:
        return "**yes**"
    if outcome.counts is None:
        return "refused"
    if outcome.counts.breaks or not sum(outcome.counts.graphs):
        return "breaks"
    return "recompiles" if outcome.counts.recompiles > 1 else f"wrong ({outcome.difference:.0e})"


def main(arguments: Sequence[str]) -> None:
    """Measure everything and write the page to the path in `arguments`."""
    (path,) = arguments
    outcomes = measure_forms(lambda text: print(text, file=sys.stderr, flush=True))
    write_bytes(Path(path), render_page(measure(), outcomes).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
