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
    const told = curves.filter(curve => (curve.values[measure] || []).some(value => value !== null));
    const wanted = measure === "uncertainty" && x === "labels" ? "iteration" : x;
    const along = told.every(curve => curve[wanted].every(at => at !== null)) ? wanted : "iteration";
    if (!told.length) return;
    const ink = property("--ink"), rule = property("--rule"), soft = property("--soft");
    const axis = {stroke: soft, grid: {stroke: rule, width: 1}, ticks: {stroke: rule, width: 1}, labelSize: 22, font: "12px system-ui"};
    const few = told.every(curve => curve.iteration.length <= 60);
    const width = Math.max(260, figure.clientWidth);
    const options = {
      width, height: figure.classList.contains("wide") ? 340 : 250,
      scales: {x: {time: false}},
      cursor: {drag: {x: true, y: false}},
      axes: [{...axis, label: NAMES[along], stroke: ink}, {...axis, size: 62, values: (_, ticks) => ticks.map(tick => Number(tick.toPrecision(4)).toString())}],
      bands: bandsOf(told),
      legend: {show: told.length <= 12},
      series: [
        {label: NAMES[along]},
        ...told.flatMap(curve => seriesOf(curve, curves.indexOf(curve), few)),
      ],
    };
    figure.classList.add("drawn");
    plots.push(new uPlot(options, aligned(told, measure, along), figure));
  };

  const start = () => {
    all("button.copy").forEach(button => { button.hidden = false; });
    const data = document.getElementById("curve-data");
    if (data && window.uPlot) {
      const curves = JSON.parse(data.textContent);
      const again = () => {
        plots.forEach(plot => plot.destroy());
        plots = [];
        all("figure.curve").forEach(figure => draw(figure, curves));
      };
      all(".choice").forEach(choice => {
        choice.hidden = false;
        choice.addEventListener("click", event => {
          const button = event.target.closest("button");
          if (!button) return;
          x = button.dataset.x;
          all("button", choice).forEach(one => one.setAttribute("aria-pressed", String(one === button)));
          again();
        });
      });
      again();
      let waiting;
      addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(again, 150); });
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
    }
    addEventListener("hashchange", open);
    open();
  };

  start();
})();
