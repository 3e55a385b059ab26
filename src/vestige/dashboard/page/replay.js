/* Recordings as they are replayed: the table of them, and one of them over time, with what moved in it. */

import { at, cell, colour, count, fill, literal, make, number, percent, reveal, row, table } from "./elements.js";

const COLOURS = ["#8a929e", "#3b7dd8", "#d9622b", "#9a5fd0", "#2a9d7c", "#b58900", "#c2477f"];
const MOST_RECORDINGS = 100, MOST_POINTS = 2000;
let run, recordings = new Map(), chosen = null, stale = false;

/* A new run: nothing of an earlier one stays. */
export function clearReplay(event) {
  run = event;
  recordings = new Map();
  chosen = null;
  fill(at("recordings").tBodies[0], []);
  if (!run.player) { return; }
  const limit = run.player.threshold, first = "P(" + run.classes[0] + ")";
  fill(at("why"), []);
  at("player").textContent = "By " + run.player.name + (run.player.view ? " (" + run.player.view + ")" : "") + ": " + (rare()
    ? "it alerts within its budget, " + run.player.budget + ": the threshold begins at the dashed line, falls with each alert and rises while there is none. "
    + "The line says how rare a window is: 3 is one in 1,000 normal ones." : limit === null
    ? "it has no threshold and never alerts." : "it alerts where 1 − " + first + " is at least " + Number(limit.toPrecision(6))
    + " (policy " + run.player.policy + ", chosen on validation): where " + first + " is on the dashed line or below.");
  legend();
  reveal("replay", "Replay", false);
}

/* Whether the detector says how rare a window is, and not only how probable each class. */
function rare() { return run.player.alpha !== null; }

/* Draw what has changed since the last time; everything, if the colours have. */
export function refresh(recoloured) {
  recordings.forEach(function (one) { if (one.dirty) { tell(one); } });
  if ((stale || recoloured) && chosen && chosen.points.length) {
    stale = false;
    draw(chosen);
  }
}

export function showRecording(event) {
  if (event.synthetic) { reveal("replay", "Replay", true); }
  const one = { event: event, points: [], windows: 0, alerts: 0, early: 0, first: null, alerted: null, moved: null, origin: event.begin, dirty: true };
  recordings.set(event.number, one);
  one.row = row([cell(""), cell(event.host), cell(event.profile), cell("", "n"), cell("", "n"),
    cell(since(one, event.attack), "n"), cell("", "n"), cell("", "n")]);
  const button = make("button", event.id, "link");
  button.addEventListener("click", function () { at("follow").checked = false; choose(one); });
  one.row.firstChild.appendChild(button);
  at("recordings").tBodies[0].prepend(one.row);
  if (recordings.size > MOST_RECORDINGS) {
    const oldest = recordings.values().next().value;
    recordings.delete(oldest.event.number);
    oldest.row.remove();
  }
  if (at("follow").checked || !chosen) { choose(one); }
}

function choose(one) {
  if (chosen) { chosen.row.classList.remove("chosen"); }
  chosen = one;
  one.row.classList.add("chosen");
  stale = true;
}

export function showScore(event) {
  const one = recordings.get(event.recording);
  if (!one) { return; }
  if (one.origin === null && event.time !== null) { one.origin = event.time; }
  one.windows = event.window;
  one.points.push({ time: event.time, window: event.window, proba: event.proba, alert: event.alert, score: event.score,
    most_probable_class: event.most_probable_class, truth: event.truth });
  if (one.points.length > MOST_POINTS) { one.points.splice(0, MOST_POINTS / 4); }
  if (event.moved.length) { one.moved = event; }
  if (event.alert) {
    one.alerts += 1;
    one.alerted = event;
    if (one.event.attack !== null && event.time < one.event.attack) { one.early += 1; }
    else if (one.first === null) { one.first = event; }
  }
  one.dirty = true;
  if (one === chosen) { stale = true; }
}

function since(one, time) {
  return time === null || one.origin === null ? "–" : number(time - one.origin, 0);
}

function delay(one) {
  return one.first === null || one.event.attack === null ? null : one.first.time - one.event.attack;
}

function tell(one) {
  const cells = one.row.cells, late = delay(one);
  cells[3].textContent = count(one.windows);
  cells[4].textContent = count(one.alerts) + (one.early ? " (" + count(one.early) + " early)" : "");
  cells[6].textContent = one.first === null ? "–" : one.first.time === null
    ? "window " + count(one.first.window) : since(one, one.first.time);
  cells[7].textContent = late === null ? "–" : number(late, 0) + " s";
  one.dirty = false;
}

function sentence(one) {
  const last = one.points[one.points.length - 1];
  if (!last) { return ""; }
  const said = "Window " + count(last.window) + ": " + (rare() ? "one in " + count(Math.round(Math.pow(10, last.score))) + " normal ones is as strange"
    : "most probable class " + last.most_probable_class + " (" + percent(Math.max.apply(null, last.proba), 0) + ")")
    + (last.truth === null ? "" : ", truly " + last.truth) + ".";
  const late = delay(one), attack = one.event.attack;
  if (attack !== null && late !== null) {
    return said + " First alert " + number(late, 0) + " s after the attack began"
      + (one.early ? " (" + count(one.early) + " came before)." : ".");
  }
  if (attack !== null && last.time >= attack) { return said + " The attack has begun; no alert since."; }
  return said + (one.alerts ? " " + count(one.alerts) + (one.alerts === 1 ? " alert." : " alerts.") : " No alert.");
}

/* Why the last alert was one, and which channels moved. */
function why(one) {
  const told = [], alerted = one.alerted && one.alerted.reasons.length ? one.alerted : null;
  if (alerted) {
    const list = make("ul");
    alerted.reasons.forEach(function (reason) { list.appendChild(make("li", reason)); });
    told.push(make("h3", "Why window " + count(alerted.window) + ", the last alert, is one"), list);
  }
  // An alert's channels are kept on the page before those of any other window.
  const event = one.alerted && one.alerted.moved.length ? one.alerted : one.moved;
  if (event) {
    told.push(make("h3", "Channels that moved most in window " + count(event.window) + (event.alert ? ", the last alert" : "")));
    told.push(table(["channel", "expected", "was"], event.moved.map(function (each) {
      // Units of counts stand in braces (UCUM), which say nothing to a person.
      const unit = each.unit ? " " + each.unit.replace(/[{}]/g, "") : "";
      return row([cell(each.channel), cell(figure(each.expected) + unit, "n"), cell(figure(each.was) + unit, "n")]);
    }), "narrow"));
  }
  fill(at("why"), told);
}

function figure(value) { return value === null ? "missing" : String(Number(value.toPrecision(4))); }

function dressed(one, xs) {
  const ink = colour("--ink"), line = colour("--line"), muted = colour("--muted"), timed = one.origin !== null;
  const axis = { gridcolor: line, linecolor: muted, zeroline: false, automargin: true };
  const end = one.event.end === null || !timed ? xs[xs.length - 1] : one.event.end - one.origin;
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "x unified", showlegend: false,
    font: { color: ink, family: getComputedStyle(document.body).fontFamily, size: 13 },
    hoverlabel: { bgcolor: colour("--card"), font: { color: ink } },
    margin: { l: 48, r: 12, t: 24, b: 44 },
    xaxis: Object.assign({}, axis, { title: { text: timed ? "seconds" : "window" },
      range: one.event.end === null || !timed ? undefined : [0, end] }),
    yaxis: Object.assign({}, axis, rare() ? { title: { text: "how rare (powers of ten)" }, rangemode: "tozero" }
      : { title: { text: "probability" }, range: [-0.02, 1.08], dtick: 0.25 }),
    shapes: shapes(one, end), annotations: notes(one, end)
  };
}

function shapes(one, end) {
  const found = one.event.spans.map(function (span, n) {
    const next = one.event.spans[n + 1];
    return { type: "rect", layer: "below", yref: "paper", y0: 0, y1: 1, x0: span.begin - one.origin, line: { width: 0 },
      x1: next ? next.begin - one.origin : end, fillcolor: hue(run.classes.indexOf(span.label)), opacity: 0.13 };
  });
  const limit = run.player && run.player.threshold;
  if (one.event.attack !== null) { found.push(upright(one.event.attack - one.origin, colour("--bad"), "dot")); }
  if (one.event.attack !== null && one.first) { found.push(upright(one.first.time - one.origin, colour("--bad"), "solid")); }
  const level = rare() ? -Math.log10(run.player.alpha) : limit === null || limit > 1 ? null : 1 - limit;
  if (level !== null) {
    found.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: level, y1: level,
      line: { color: colour("--muted"), width: 1, dash: "dash" } });
  }
  return found;
}

function upright(x, ink, dash) {
  return { type: "line", yref: "paper", y0: 0, y1: 1, x0: x, x1: x, line: { color: ink, width: 1.5, dash: dash } };
}

function notes(one, end) {
  const scale = (at("chart").clientWidth - 60) / end;
  return one.event.spans.filter(function (span, n) {
    const next = one.event.spans[n + 1], until = next ? next.begin - one.origin : end;
    return (until - (span.begin - one.origin)) * scale > 6.5 * span.label.length;
  }).map(function (span) {
    return { x: span.begin - one.origin, y: 1, yref: "paper", yanchor: "bottom", xanchor: "left", showarrow: false,
      text: literal(span.label), font: { size: 11, color: colour("--muted") } };
  });
}

function legend() {
  fill(at("legend"), (rare() ? [run.player.name] : run.classes).map(function (name, k) {
    const one = make("li", name), swatch = make("span", null, "swatch");
    swatch.style.background = hue(k);
    one.prepend(swatch);
    return one;
  }).concat([make("li", "| alert", "alert")]));
}

function hue(n) { return COLOURS[(n + COLOURS.length) % COLOURS.length]; }

function draw(one) {
  const xs = one.points.map(function (p) { return p.time !== null && one.origin !== null ? p.time - one.origin : p.window; });
  const traces = rare() ? [{ type: "scatter", mode: "lines", name: literal(run.player.name), x: xs, line: { color: hue(0), width: 2 },
    y: one.points.map(function (p) { return p.score; }), hovertemplate: "%{y:.2f}" }] : run.classes.map(function (name, k) {
    return { type: "scatter", mode: "lines", name: literal(name), x: xs, line: { color: hue(k), width: k ? 2 : 1.5 },
      y: one.points.map(function (p) { return p.proba[k]; }), hovertemplate: "%{y:.2f}" };
  });
  const alerts = one.points.map(function (p) { return p.alert ? (rare() ? p.score : 1.04) : null; });
  traces.push({ type: "scatter", mode: "markers", name: "alert", x: xs, y: alerts, hoverinfo: "skip",
    marker: { color: colour("--bad"), size: 6, symbol: "line-ns-open" } });
  at("shown").textContent = [one.event.id, one.event.profile, one.event.host].filter(Boolean).join(" · ");
  at("said").textContent = sentence(one);
  why(one);
  Plotly.react(at("chart"), traces, dressed(one, xs), { responsive: true, displaylogo: false, displayModeBar: false });
}
