// Says of each moment how long ago it is. The rest is htmx's: the stream of a run's events replaces its fragments.
"use strict";
(() => {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const told = (seconds) => {
    const [size, unit] = units.find(([size]) => seconds >= 2 * size) || [1, "s"];
    return `${Math.max(0, Math.floor(seconds / size))} ${unit}`;
  };
  const tell = () => {
    for (const moment of document.querySelectorAll("time[data-since]")) {
      const text = `${told(Date.now() / 1000 - Number(moment.dataset.since))} ago`;
      if (moment.textContent !== text) moment.textContent = text;
    }
  };
  tell();
  setInterval(tell, 1000);
  document.addEventListener("htmx:after:swap", tell);
})();
