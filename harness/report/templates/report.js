// Draws the charts of the page: puts the style sheet's colours in, phases and marks behind, and zooms all timelines as one.
(() => {
  "use strict";
  const { timeline, figures } = JSON.parse(document.getElementById("payload").textContent);
  const config = {
    responsive: true, displayModeBar: false, doubleClick: "reset",
  };
  const touch = matchMedia("(pointer: coarse)").matches; // where a drag must scroll the page
  const drawn = [];
  let syncing = false;

  // A colour is a custom property's name; only under a key that ends in "color" or "colors", so a name from a run never is one.
  const paint = (value, style, isColor = false) => {
    if (typeof value === "string") return isColor && value.startsWith("--") ? style.getPropertyValue(value).trim() : value;
    if (Array.isArray(value)) {
      return isColor || typeof value[0] === "object" ? value.map((item) => paint(item, style, isColor)) : value;
    }
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, paint(item, style, /colors?$/.test(key))]));
  };

  // Phases get their name where it fits, their number where only that fits; a name that overlaps its neighbour helps nobody.
  const behind = (range, width, style) => {
    const color = (name) => style.getPropertyValue(name).trim();
    const perSecond = width / (range[1] - range[0]);
    const shapes = [], annotations = [];
    timeline.phases.forEach((phase, index) => {
      const x0 = Math.max(phase.x0, range[0]), x1 = Math.min(phase.x1, range[1]);
      if (x1 <= x0) return;
      const fillcolor = phase.load ? color("--load") : index % 2 ? color("--band") : "rgba(0,0,0,0)";
      shapes.push({ type: "rect", layer: "below", xref: "x", yref: "paper", x0: phase.x0, x1: phase.x1, y0: 0, y1: 1, fillcolor, line: { width: 0 } });
      if (phase.x0 > range[0]) shapes.push({ type: "line", layer: "below", xref: "x", yref: "paper", x0: phase.x0, x1: phase.x0, y0: 0, y1: 1.03, line: { color: color("--line"), width: 1 } });
      const room = (x1 - x0) * perSecond;
      const long = `${phase.number} ${phase.name}`;
      const text = room > 6.3 * long.length + 8 ? long : room > 8 * phase.number.length + 4 ? phase.number : "";
      if (!text) return;
      annotations.push({ x: (x0 + x1) / 2, y: 1, xref: "x", yref: "paper", yanchor: "bottom", text, showarrow: false, font: { size: 11, color: color("--muted") } });
    });
    timeline.marks.forEach((mark) => {
      if (mark.x < range[0] || mark.x > range[1]) return;
      shapes.push({ type: "line", xref: "x", yref: "paper", x0: mark.x, x1: mark.x, y0: 0, y1: 1, line: { color: color("--bad"), width: 2 } });
      const right = (mark.x - range[0]) / (range[1] - range[0]) > 0.6;
      annotations.push({ x: mark.x, y: 0.97, xref: "x", yref: "paper", yanchor: "top", xanchor: right ? "right" : "left", text: `<b>${mark.text}</b>`, showarrow: false, xshift: right ? -4 : 4, bgcolor: color("--panel"), opacity: 0.92, font: { size: 12, color: color("--bad") } });
    });
    return { shapes, annotations };
  };

  const layoutOf = (figure, width, range, style) => {
    const color = (name) => style.getPropertyValue(name).trim();
    const axis = { gridcolor: color("--grid"), linecolor: color("--line"), zeroline: false, tickcolor: color("--line"), automargin: false };
    const own = paint(figure.layout, style);
    const layout = {
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: color("--fg") },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 62, r: own.yaxis2 ? 50 : 14, t: 24, b: 28 }, hovermode: "x unified", autosize: true, dragmode: touch ? false : "zoom",
      hoverlabel: { bgcolor: color("--panel"), bordercolor: color("--line"), font: { color: color("--fg") } },
      showlegend: false, // the page has its own, which wraps and can be used from the keyboard
      ...own,
      xaxis: { ...axis, ...(own.xaxis || {}) }, yaxis: { ...axis, ...(own.yaxis || {}) },
    };
    if (own.yaxis2) layout.yaxis2 = { ...axis, ...own.yaxis2 };
    if (figure.data[0].type === "icicle") Object.assign(layout, { margin: { l: 0, r: 0, t: 0, b: 4 }, font: { ...layout.font, color: color("--ink") } });
    if (figure.timeline) {
      Object.assign(layout.xaxis, { range: [...range], ticksuffix: " s", tickformat: ",~f", hoverformat: ",.2f" });
      Object.assign(layout, behind(range, width - 76, style));
    }
    return layout;
  };

  const whole = [timeline.begin, Math.max(timeline.end, timeline.begin + 0.001)];
  const draw = (div, figure) => {
    const style = getComputedStyle(document.documentElement);
    Plotly.react(div, paint(figure.data, style), layoutOf(figure, div.clientWidth, div.range, style), config);
  };
  const rangeOf = (event) => {
    if ("xaxis.range[0]" in event) return [+event["xaxis.range[0]"], +event["xaxis.range[1]"]];
    if ("xaxis.range" in event) return event["xaxis.range"].map(Number);
    return event["xaxis.autorange"] ? whole : null;
  };
  const follow = (event) => {
    const range = syncing ? null : rangeOf(event);
    if (!range) return;
    syncing = true;
    const style = getComputedStyle(document.documentElement);
    Promise.all(drawn.filter(([, figure]) => figure.timeline).map(([div]) => {
      div.range = range;
      return Plotly.relayout(div, { "xaxis.range": [...range], ...behind(range, div.clientWidth - 72, style) });
    })).finally(() => { syncing = false; });
  };

  for (const [id, figure] of Object.entries(figures)) {
    const div = document.getElementById(`chart-${id}`);
    div.range = whole;
    draw(div, figure);
    drawn.push([div, figure]);
    if (figure.timeline) div.on("plotly_relayout", follow);
  }
  document.querySelectorAll(".legend button").forEach((button) => button.addEventListener("click", () => {
    const { chart, trace } = button.dataset;
    const show = button.getAttribute("aria-pressed") === "false";
    button.setAttribute("aria-pressed", String(show));
    figures[chart].data[trace].visible = show;
    Plotly.restyle(`chart-${chart}`, { visible: show }, [Number(trace)]);
  }));
  const redraw = () => drawn.forEach(([div, figure]) => draw(div, figure));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  let wait = 0;
  addEventListener("resize", () => { clearTimeout(wait); wait = setTimeout(redraw, 250); });
})();
