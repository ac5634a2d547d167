// A run while it goes on: what the server sends each second, as figures and curves.
(() => {
  "use strict";
  const at = (id) => document.getElementById(id);
  const count = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
  const bytes = (value) => {
    for (const [factor, unit] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) if (value >= factor) return `${(value / factor).toFixed(1)} ${unit}`;
    return `${value} B`;
  };
  const text = (id, value) => { if (at(id).textContent !== value) at(id).textContent = value; }; // a screen reader tells what changes
  const curves = { memory: [], rss: [], tasks: [], rate: [], queue: [] };
  let status = null, source = null, over = false;

  const style = () => getComputedStyle(document.documentElement);
  const layout = (css, phases, suffix) => {
    const axis = { gridcolor: css("--grid"), linecolor: css("--line"), zeroline: false };
    const shapes = phases.filter((phase) => phase.load).map((phase) => ({
      type: "rect", layer: "below", xref: "x", yref: "paper", x0: phase.start, x1: phase.end ?? status.until_s, y0: 0, y1: 1, fillcolor: css("--load"), line: { width: 0 },
    }));
    return {
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: css("--fg") }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 66, r: 12, t: 8, b: 28 }, showlegend: false, dragmode: false, hovermode: "x unified", shapes,
      hoverlabel: { bgcolor: css("--panel"), bordercolor: css("--line"), font: { color: css("--fg") } },
      xaxis: { ...axis, ticksuffix: " s", range: [0, Math.max(status.until_s, 5)] }, yaxis: { ...axis, rangemode: "tozero", ticksuffix: suffix },
    };
  };
  const line = (name, points, color, scale, extra = {}) => ({
    type: "scatter", mode: "lines", name, x: points.map(([t]) => t), y: points.map(([, v]) => v / scale), line: { color, width: 1.8, ...extra },
  });
  const draw = () => {
    if (!window.Plotly || !status) return;
    const computed = style(), css = (name) => computed.getPropertyValue(name).trim();
    const config = { responsive: true, displayModeBar: false };
    const highest = Math.max(status.limit ?? 0, ...[curves.memory, curves.rss].map((points) => points.reduce((most, [, v]) => Math.max(most, v), 0)));
    const [scale, unit] = highest >= 4 * 2 ** 30 ? [2 ** 30, " GiB"] : [2 ** 20, " MiB"];
    const memory = [line("charged to the cgroup", curves.memory, css("--c1"), scale), line("resident (RSS)", curves.rss, css("--c2"), scale)];
    if (status.limit) memory.push(line("limit", [[0, status.limit], [Math.max(status.until_s, 5), status.limit]], css("--bad"), scale, { dash: "dash" }));
    const legend = { showlegend: true, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" }, margin: { l: 66, r: 12, t: 30, b: 28 } };
    Plotly.react(at("chart-memory"), memory, { ...layout(css, status.phases, unit), ...legend }, config);
    Plotly.react(at("chart-rate"), [line("requests done", curves.rate, css("--c1"), 1)], layout(css, status.phases, " /s"), config);
    Plotly.react(at("chart-tasks"), [line("tasks", curves.tasks, css("--c3"), 1)], layout(css, status.phases, ""), config);
  };
  const show = () => {
    const phase = status.phase;
    text("asof", `as of ${status.until_s.toFixed(0)} s`);
    text("phase", phase ? `phase ${phase.name}${phase.over ? ", over" : ""}` : "no phase yet");
    const bar = at("progress");
    bar.hidden = !phase?.requested;
    if (phase?.requested) { bar.max = phase.requested; bar.value = Math.min(phase.done, phase.requested); }
    text("done", !phase ? "–" : phase.requested ? `${count.format(phase.done)} of ${count.format(phase.requested)}` : count.format(phase.done));
    text("failed", phase?.failed ? `${count.format(phase.failed)} attempts without success` : "");
    text("rate", status.rate === null ? "–" : `${count.format(status.rate)}/s`);
    text("wanted", phase?.wanted_per_s ? `${count.format(phase.wanted_per_s)}/s asked for` : "");
    const held = status.memory ?? status.rss;
    text("memory", held === null ? "–" : bytes(held));
    text("limit", status.limit ? `${held === null ? "" : `${Math.round(100 * held / status.limit)} % `}of the limit of ${bytes(status.limit)}` : "no memory limit");
    at("memory-box").className = status.limit && held >= 0.95 * status.limit ? "bad" : "";
    text("tasks", status.tasks === null ? "–" : count.format(status.tasks));
    text("queue", status.queue === null ? "" : `queue ${count.format(status.queue)}`);
    text("kills", status.kills === null ? "–" : count.format(status.kills));
    at("kills-box").className = status.kills ? "bad" : "";
    at("notes").replaceChildren(...status.notes.map((note) => Object.assign(document.createElement("li"), { textContent: note })));
  };
  const end = (state, why) => {
    over = true;
    source.close();
    const word = state === "sealed" ? "ended" : state;
    text("state", word);
    at("title").className = ["passed", "failed", "error", "invalid", "inconclusive", "interrupted"].includes(state) ? state : "open";
    const link = Object.assign(document.createElement("a"), { href: location.pathname, textContent: "its report" });
    at("over").replaceChildren(`${why ?? "The run is over"}: `, link);
  };
  source = new EventSource("live");
  source.addEventListener("status", (event) => {
    status = JSON.parse(event.data);
    for (const [name, points] of Object.entries(status.points)) curves[name].push(...points);
    show();
    draw();
    text("over", "");
    if (status.state !== "running") end(status.state);
  });
  source.addEventListener("broken", (event) => end("unreadable", JSON.parse(event.data).why));
  source.addEventListener("open", () => { for (const points of Object.values(curves)) points.length = 0; }); // a new stream begins at the beginning
  source.addEventListener("error", () => { if (!over) text("over", "The connection is lost; trying again …"); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
