// Shortcuts and the choice of two runs. Every page works without it.
(() => {
  "use strict";
  const help = document.getElementById("help");
  const single = document.getElementById("single");
  const store = { get: () => { try { return localStorage.getItem("single"); } catch { return null; } }, set: (v) => { try { localStorage.setItem("single", v); } catch { /* not allowed: for this page only */ } } };
  single.checked = store.get() !== "off";
  single.addEventListener("change", () => store.set(single.checked ? "on" : "off"));
  document.getElementById("keys").addEventListener("click", () => help.showModal());

  const rows = [...document.querySelectorAll("a.row")];
  const picks = [...document.querySelectorAll('input[name="pick"]')];
  const choice = document.getElementById("choice");
  const chosen = document.getElementById("chosen");
  const tell = () => {
    const count = picks.filter((box) => box.checked).length;
    if (chosen) chosen.textContent = count === 0 ? "" : count === 2 ? "two are chosen" : `${count} chosen: two can be compared`;
  };
  picks.forEach((box) => box.addEventListener("change", tell));
  tell(); // a browser may have kept the boxes

  const current = () => rows.findIndex((link) => link.closest("tr").contains(document.activeElement));
  const step = (by) => {
    if (!rows.length) return;
    const at = current();
    const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + by, 0), rows.length - 1);
    rows[next].focus();
  };
  const toggle = () => {
    const box = rows[current()]?.closest("tr").querySelector('input[name="pick"]');
    if (box) { box.checked = !box.checked; tell(); }
  };
  const actions = {
    "/": () => document.getElementById("filter")?.focus(),
    "?": () => help.showModal(),
    j: () => step(1), k: () => step(-1), x: toggle,
    c: () => { if (choice && picks.some((box) => box.checked)) choice.requestSubmit(); },
  };
  let afterG = -Infinity; // when g was pressed, in milliseconds of the page
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || help.open || !single.checked) return;
    if (event.target.closest("input:not([type=checkbox]), select, textarea")) return;
    const go = event.timeStamp - afterG < 1500 && document.querySelector(`nav a[data-go="g ${CSS.escape(event.key)}"]`);
    afterG = event.key === "g" ? event.timeStamp : -Infinity;
    if (go) { event.preventDefault(); go.click(); return; }
    if (Object.hasOwn(actions, event.key)) { event.preventDefault(); actions[event.key](); }
  });
})();
