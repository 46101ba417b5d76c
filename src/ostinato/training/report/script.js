"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const data = JSON.parse(byId("run-data").textContent);
  const stage = byId("stage"), cursor = byId("cursor"), scrub = byId("scrub"), when = byId("when");
  const SVG = "http://www.w3.org/2000/svg";
  const total = Math.max(1, data.total);

  for (const lane of data.lanes) {
    for (const trace of lane.traces) {
      let step = 0;
      trace.steps = trace.steps.map((gap) => (step += gap));
    }
  }
  const rows = data.lanes.map((lane, i) => {
    const row = stage.querySelector(`[data-lane="${i}"]`);
    const plot = row.querySelector("svg.plot");
    const values = [...row.querySelectorAll("output")];
    const dots = values.map((value) => {
      const dot = document.createElementNS(SVG, "circle");
      dot.setAttribute("r", "4.5");
      dot.setAttribute("class", "probe " + value.className.replace("value", ""));
      dot.setAttribute("visibility", "hidden");
      plot.append(dot);
      return dot;
    });
    return { lane, values, dots };
  });

  const before = (steps, step) => {
    let low = 0, high = steps.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (steps[middle] <= step) low = middle + 1; else high = middle;
    }
    return low - 1;
  };
  const cycleStarts = data.cycles.map((c) => c[0]);
  const cycleLength = (step) => {
    const cycle = data.cycles[Math.max(0, before(cycleStarts, step))];
    return cycle ? cycle[1] - cycle[0] : total;
  };
  // between kept points a value is interpolated (≈); where these stand too far apart for that, both ends are shown
  const read = (lane, trace, step) => {
    const i = before(trace.steps, step);
    if (i < 0 || (trace.reach !== null && step > trace.reach)) return { value: null };
    const a = trace.values[i], b = trace.values[i + 1];
    const from = trace.steps[i], to = trace.steps[i + 1];
    if (from === step || lane.kind !== "schedule" || a === null || b === undefined || b === null) {
      return { value: a, exact: true };
    }
    if (4 * (to - from) > cycleLength(step) && a !== b) return { value: null, between: [a, b] };
    return { value: a + ((b - a) * (step - from)) / (to - from), exact: false };
  };
  const write = (value, fraction) => {
    if (value === null || value === undefined) return "\u2013";
    if (fraction) return (100 * value).toFixed(2) + "\u00a0%";
    const size = Math.abs(value);
    if (size === 0) return "0";
    if (size >= 1e-3 && size < 1e6) {
      const digits = Math.max(4, Math.floor(Math.log10(size)) + 1);
      return String(Number(value.toPrecision(digits))).replace("-", "\u2212");
    }
    const [mantissa, power] = value.toExponential(3).split("e");
    return String(Number(mantissa)).replace("-", "\u2212") + "e" + Number(power);
  };
  const short = (value) => write(Number(value.toPrecision(2)), false);
  const height = (lane, value) => {
    const place = lane.log
      ? Math.max(0, Math.log(value / lane.low) / Math.log(lane.high / lane.low))
      : (value / 2 - lane.low / 2) / (lane.high / 2 - lane.low / 2);
    return 100 * (0.07 + 0.86 * (1 - place));
  };
  const moment = (step) => {
    const words = [`step ${step}`];
    if (data.steps_per_epoch) words.push(`epoch ${(step / data.steps_per_epoch).toFixed(2)}`);
    const k = before(cycleStarts, step);
    if (k >= 0 && step < data.cycles[k][1]) {
      const [start, end] = data.cycles[k];
      words.push(`cycle ${k + 1} of ${data.cycles.length}`, `phase ${((step - start) / (end - start)).toFixed(3)}`);
    } else {
      words.push(step < data.warmup ? "warm-up" : "outside the cycles");
    }
    return words;
  };

  let current = Number(scrub.value);
  const show = (wanted) => {
    current = Math.min(total - 1, Math.max(0, Math.round(wanted)));
    const x = (100 * current) / total + "%";
    cursor.setAttribute("x1", x);
    cursor.setAttribute("x2", x);
    stage.classList.add("reading");
    for (const { lane, values, dots } of rows) {
      lane.traces.forEach((trace, i) => {
        const { value, exact, between } = read(lane, trace, current);
        values[i].textContent = between ? between.map((v) => short(v)).join(" \u2026 ") : (exact === false ? "\u2248\u2009" : "") + write(value, lane.fraction);
        const y = value === null ? NaN : height(lane, value);
        const seen = Number.isFinite(y) && y > -5 && y < 105;
        dots[i].setAttribute("visibility", seen ? "visible" : "hidden");
        if (seen) {
          dots[i].setAttribute("cx", x);
          dots[i].setAttribute("cy", y + "%");
        }
      });
    }
    const words = moment(current);
    when.replaceChildren(...words.map((word) => Object.assign(document.createElement("span"), { textContent: word })));
    scrub.value = String(current);
    scrub.setAttribute("aria-valuetext", words.join(", "));
  };

  const follow = (event) => {
    const field = byId("cursor").ownerSVGElement.getBoundingClientRect();
    const x = (event.clientX - field.left) / field.width;
    if (x >= -0.03 && x <= 1.03) show(x * total);
  };
  stage.addEventListener("pointermove", follow);
  stage.addEventListener("pointerdown", follow);
  scrub.addEventListener("input", () => show(Number(scrub.value)));
  scrub.addEventListener("keydown", (event) => {
    const stops = [...new Set([0, ...cycleStarts, ...data.cycles.map((c) => c[1] - 1), total - 1])].sort((a, b) => a - b);
    let next;
    if (event.key === "PageUp") next = stops.find((stop) => stop > current);
    else if (event.key === "PageDown") next = stops.filter((stop) => stop < current).pop();
    else if (event.key === "Escape") { stage.classList.remove("reading"); return; }
    else return;
    event.preventDefault();
    if (next !== undefined) show(next);
  });
  byId("reader").hidden = false;
  const first = moment(current);
  when.replaceChildren(...first.map((word) => Object.assign(document.createElement("span"), { textContent: word })));

  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const block = byId(button.dataset.copy);
      let done = true;
      try {
        await navigator.clipboard.writeText(block.textContent);
      } catch {
        getSelection().selectAllChildren(block);
        done = document.execCommand("copy");
      }
      button.textContent = done ? "Copied" : "Selected";
      setTimeout(() => { button.textContent = "Copy"; }, 1600);
    });
  }
})();
