/* The stream of events, and where each kind is shown. */

import { at, count, fill, make, number, percent, reveal } from "./elements.js";
import { clearFigures, showCaveats, showMetrics, showProfiles, showVerdict } from "./figures.js";
import { listed, showWatch } from "./incidents.js";
import { clearReplay, refresh, showRecording, showScore } from "./replay.js";
import { drawDays, showDays, showLearnt, showPromise } from "./watch.js";

const DRAW_MS = 250;
const SHOW = { run: showRun, metrics: showMetrics, profiles: showProfiles, learnt: showLearnt, watch: showWatched, recording: showRecording, score: showScore, perf: showPerf };
let begun = false, missed = 0;

function showRun(event) {
  begun = true;
  ["incidents", "rate", "learnt", "replay", "perf", "metrics", "profiles"].forEach(function (id) {
    at(id).hidden = true;
    at(id).querySelectorAll("h2 .pill").forEach(function (one) { one.remove(); });
  });
  fill(at("nav"), []);
  document.title = event.title + " – vestige";
  at("title").textContent = event.title;
  at("about").textContent = [event.source, event.view && "view " + event.view, event.split && "split by " + event.split,
    event.created].filter(Boolean).join(" · ");
  showVerdict(event.verdict);
  showCaveats(event.caveats);
  clearFigures();
  clearReplay(event);
  at("missed").textContent = "";
}

function showWatched(event) {
  showWatch(event);
  showPromise(event);
  showDays(event);
}

function showPerf(one) {
  reveal("perf", "Performance", false);
  const rows = [["state", one.state], ["windows", count(one.windows)], ["recordings", count(one.recordings)],
    ["extraction", number(one.extraction_ms) + " ms"], ["inference", number(one.inference_ms) + " ms"],
    ["windows a second", one.windows_per_s === null ? "–" : count(Math.round(one.windows_per_s))],
    ["windows at a time", number(one.batch, 0)],
    ["memory", one.memory === null ? "–" : number(one.memory / 1048576, 0) + " MiB"], ["cores", count(one.cores)],
    ["running for", number(one.seconds, 0) + " s"]];
  fill(at("measured"), rows.map(function (pair) {
    const box = make("div");
    box.appendChild(make("dt", pair[0]));
    box.appendChild(make("dd", pair[1]));
    return box;
  }));
  at("progress").textContent = one.state === "failed" ? "The replay ended: " + one.note
    : one.state === "done" ? "The replay is over." : one.total ? percent(Math.min(1, one.bytes / one.total), 0) + " of the evidence read" : "";
}

function link(text, kind) {
  at("link").textContent = text;
  at("link").className = "pill " + kind;
}

const stream = new EventSource("/events");
stream.onopen = function () { link("connected", "pass"); };
stream.onerror = function () {
  if (stream.readyState !== EventSource.CLOSED) { link("reconnecting", "warn"); return; }
  link("ended", "warn");
  // It answers, and not to us: it was started again, and has another token.
  fetch("/health").then(function (answer) {
    if (answer.ok) { link("ended: open the address that vestige dashboard printed when it started", "fail"); }
  }).catch(function () {});
};
stream.addEventListener("missed", function (message) {
  missed += Number(message.data);
  at("missed").textContent = count(missed) + " earlier or too fast events are not shown.";
});
stream.onmessage = function (message) {
  const event = JSON.parse(message.data), show = SHOW[event.event];
  if (show && (begun || event.event === "run")) { show(event); }
};
setInterval(function () { refresh(false); }, DRAW_MS);
setInterval(listed, 1000);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () { refresh(true); drawDays(); });
