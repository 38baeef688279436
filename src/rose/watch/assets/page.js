/* Make a report's curves such that one can look into them, and its tables such that they can be copied. */
"use strict";
(() => {
  const all = (what, where = document) => [...where.querySelectorAll(what)];
  const property = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const quoted = text => (/[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
  const csv = table => all("tr", table).map(
    row => [...row.cells].map(cell => quoted(cell.textContent.trim())).join(",")).join("\r\n") + "\r\n";

  const copied = async text => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {  // a file that was opened by itself may not use the clipboard so
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };

  document.addEventListener("click", async event => {
    const button = event.target.closest("button.copy");
    if (!button) return;
    await copied(csv(button.closest("figure").querySelector("table")));
    const said = button.textContent;
    button.textContent = "copied";
    setTimeout(() => { button.textContent = said; }, 1500);
  });

  const open = () => {  // what a link leads to may be folded away
    const target = location.hash && document.getElementById(location.hash.slice(1));
    for (let at = target; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (target) target.scrollIntoView({block: "center"});
  };

  const NAMES = {labels: "labels", seconds: "seconds since the run began", cost: "seconds of simulation", iteration: "iteration"};
  const WHOLE = new Set(["labels", "iteration"]);
  const STEPS = [0, 1, 2, 3, 4, 5, 6, 7, 8].flatMap(power => [1, 2, 5].map(step => step * 10 ** power));
  const DASHES = [[], [7, 4], [2, 3]];
  let plots = [];
  let x = "labels";

  const aligned = (curves, measure, along) => uPlot.join(curves.map(curve => {
    const columns = [curve.values, ...(curve.low ? [curve.low, curve.high] : [])].map(of => of[measure]);
    const rows = new Map();
    curve[along].forEach((at, i) => { if (at !== null) rows.set(at, columns.map(column => column[i])); });
    const xs = [...rows.keys()].sort((a, b) => a - b);
    return [xs, ...columns.map((_, n) => xs.map(at => rows.get(at)[n]))];
  }));

  const seriesOf = (curve, place, few) => {
    const colour = property(`--c${curve.colour}`);
    const line = {
      label: curve.name, stroke: colour, width: 2, dash: DASHES[Math.floor(place / 8) % 3], spanGaps: true,
      points: {show: few, size: 5}, value: (_, value) => short(value),
    };
    const edge = said => ({label: `${curve.name}, ${said}`, class: "edge", stroke: colour, width: 0, spanGaps: true, points: {show: false}, value: line.value});
    return curve.low ? [line, edge("least"), edge("largest")] : [line];
  };

  const bandsOf = curves => {
    const bands = [];
    let at = 1;
    for (const curve of curves) {
      if (curve.low) bands.push({series: [at + 2, at + 1], fill: property(`--c${curve.colour}`) + "30"});
      at += curve.low ? 3 : 1;
    }
    return bands;
  };

  const short = value => (value == null ? "-" : Number(value.toPrecision(5)).toString());

  const draw = (figure, curves) => {
    const measure = figure.dataset.measure;
    const shown = curves.filter(curve => (curve.values[measure] || []).some(value => value !== null));
    const wanted = measure === "uncertainty" && x === "labels" ? "iteration" : x;
    const along = shown.every(curve => curve[wanted].every(at => at !== null)) ? wanted : "iteration";
    if (!shown.length) return;
    const ink = property("--ink"), rule = property("--rule"), soft = property("--soft");
    const axis = {stroke: soft, grid: {stroke: rule, width: 1}, ticks: {stroke: rule, width: 1}, labelSize: 22, font: "12px system-ui"};
    const few = shown.every(curve => curve.iteration.length <= 60);
    const width = Math.max(260, figure.clientWidth);
    const options = {
      width, height: figure.classList.contains("wide") ? 340 : 250,
      scales: {x: {time: false}},
      cursor: {drag: {x: true, y: false}},
      axes: [{...axis, label: NAMES[along], stroke: ink, ...(WHOLE.has(along) ? {incrs: STEPS} : {})}, {...axis, size: 62, values: (_, ticks) => ticks.map(tick => Number(tick.toPrecision(4)).toString())}],
      bands: bandsOf(shown),
      legend: {show: shown.length <= 12},
      series: [
        {label: NAMES[along]},
        ...shown.flatMap(curve => seriesOf(curve, curves.indexOf(curve), few)),
      ],
    };
    figure.classList.add("drawn");
    plots.push(new uPlot(options, aligned(shown, measure, along), figure));
  };

  let told = null;  // what the curves were drawn from
  let curves = [];

  const again = () => {
    plots.forEach(plot => plot.destroy());
    plots = [];
    all("figure.curve").forEach(figure => draw(figure, curves));
  };

  const refresh = () => {  // also after the live page has taken in something new
    all("button.copy, .choice").forEach(one => { one.hidden = false; });
    all(".choice button").forEach(one => one.setAttribute("aria-pressed", String(one.dataset.x === x)));
    const data = document.getElementById("curve-data");
    if (!data || !window.uPlot) return;
    const undrawn = all("figure.curve").some(figure => !figure.querySelector(".uplot"));
    if (data.textContent === told && !undrawn) return;
    told = data.textContent;
    curves = JSON.parse(told);
    again();
  };

  document.addEventListener("click", event => {
    const button = event.target.closest(".choice button");
    if (!button) return;
    x = button.dataset.x;
    refresh();
    again();
  });
  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(again, 150); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("hashchange", open);
  document.addEventListener("htmx:after:swap", refresh);
  refresh();
  open();
})();
