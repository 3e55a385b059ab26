/* How a watch keeps its promise: alerts day by day, drift; and what a learnt detector's own check found. */

import { at, cell, colour, count, fill, folded, literal, make, number, percent, reveal, row, table, time } from "./elements.js";

const DRAWN = 90, LONGEST = 80;
let days = [];

export function showPromise(event) {
  const drift = event.drift, told = [];
  if (drift) {
    const box = make("div", drift.says, drift.broken ? "banner bad" : "note");
    if (drift.broken) {
      told.push(["since", time(drift.since)], ["looks", named(drift.looks)], ["events", named(drift.events)], ["hosts", named(drift.hosts)]);
    }
    told.push(["evidence against the promise (e-value; told at " + count(drift.limit) + ")", drift.e_value.toPrecision(3)]);
    const list = make("ul", null, "note");
    told.forEach(function (pair) { if (pair[1]) { list.appendChild(make("li", pair[0] + ": " + pair[1])); } });
    fill(at("promise"), [box, drift.broken ? list : folded("Drift", [list])]);
  } else { fill(at("promise"), []); }
  if (event.held_back) {
    const held = event.held_back === 1 ? " window as rare as an alert was" : " windows as rare as an alert were";
    at("promise").appendChild(make("p", count(event.held_back) + held + " held back, because the budget was spent.", "note"));
  }
}

function cut(text) { return text.length > LONGEST ? text.slice(0, LONGEST) + "…" : text; }

function named(found) {
  return Object.keys(found).map(function (name) { return cut(name) + " (" + count(found[name]) + ")"; }).join(", ");
}

export function showDays(event) {
  if (JSON.stringify(days) === JSON.stringify(event.days) && !at("rate").hidden) { return; }
  days = event.days;
  if (!days.length) { return; }
  reveal("rate", "Rate", false);
  fill(at("daily"), [folded("The same as a table", [table(["day", "windows", "alerts", "promised", "dismissed"], days.map(function (one) {
    return row([cell(one.day || "unknown"), cell(count(one.windows), "n"), cell(count(one.alerts), "n"), cell(number(one.promised, 1), "n"),
      cell(count(one.dismissed), "n")]);
  }))])]);
  drawDays();
}

export function drawDays() {
  const known = days.filter(function (one) { return one.day; }).slice(-DRAWN);
  at("days").hidden = !known.length;
  if (!known.length) { return; }
  const xs = known.map(function (one) { return literal(one.day); }), line = colour("--line"), ink = colour("--ink");
  function column(name) { return known.map(function (one) { return one[name]; }); }
  const axis = { gridcolor: line, linecolor: colour("--muted"), zeroline: false, automargin: true };
  Plotly.react(at("days"), [
    { type: "bar", name: "alerts", x: xs, y: column("alerts"), marker: { color: colour("--accent") } },
    { type: "bar", name: "dismissed", x: xs, y: column("dismissed"), marker: { color: colour("--line") } },
    { type: "scatter", mode: "lines+markers", name: "promised", x: xs, y: column("promised"), line: { color: colour("--bad"), width: 2, dash: "dot" } }
  ], {
    barmode: "stack", paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "x unified",
    font: { color: ink, family: getComputedStyle(document.body).fontFamily, size: 13 }, hoverlabel: { bgcolor: colour("--card"), font: { color: ink } },
    margin: { l: 40, r: 8, t: 8, b: 40 }, legend: { orientation: "h", y: 1.15 },
    xaxis: Object.assign({}, axis, { type: "category" }), yaxis: Object.assign({}, axis, { rangemode: "tozero", title: { text: "a day" } })
  }, { responsive: true, displaylogo: false, displayModeBar: false });
}

export function showLearnt(event) {
  reveal("learnt", "Check", false);
  const body = [make("p", "Learnt from " + event.evidence + ", budget " + event.budget + ".", "muted")];
  event.sentences.forEach(function (sentence) { body.push(make("p", sentence)); });
  if (event.planted.length) {
    body.push(table(["planted anomalies", "planted", "found", "share"], event.planted.map(function (one) {
      const share = cell(percent(one.share, 0), "n");
      share.appendChild(make("small", percent(one.low, 0) + " to " + percent(one.high, 0)));
      return row([cell(one.what), cell(count(one.of), "n"), cell(count(one.found), "n"), share]);
    })));
  }
  if (event.warning) { body.push(make("p", event.warning, "note")); }
  fill(at("check"), body);
}
