/* The list of a watch's incidents, chosen by a form, asked for anew whenever something has changed. */

import { at, cell, count, fill, make, reveal, row, time } from "./elements.js";
import { again, show } from "./incident.js";

const PIECE = 200, MOST = 2000, STALE_S = 30;
let watch = null, wanted = false, asking = false, most = PIECE, before = "";

export function showWatch(event) {
  watch = event;
  reveal("incidents", "Incidents", false);
  choices("host", event.hosts, "any");
  choices("look", event.looks, "any look");
  wanted = true;
  listed();
  again();
}

/* Ask for the list if something has changed; once a second, and never twice at a time. */
export function listed() {
  if (!watch) { return; }
  counts();
  if (!wanted || asking) { return; }
  wanted = false;
  asking = true;
  const asked = new URLSearchParams({ most: String(most) });
  new FormData(at("filter")).forEach(function (value, name) { if (value) { asked.set(name, value); } });
  fetch("/incidents?" + asked).then(function (answer) {
    return answer.json().then(function (found) {
      if (!answer.ok) { throw new Error(String(found.detail)); }
      at("refused").textContent = "";
      list(found);
    });
  }).catch(function (error) { at("refused").textContent = "The list could not be had: " + error.message; })
    .finally(function () { asking = false; });
}

function counts() {
  const age = watch.saved === null ? null : Math.max(0, Date.now() / 1000 - watch.saved);
  const saved = age === null ? "" : "The state was saved " + long(age) + " ago"
    + (age < STALE_S ? "." : ": no watch is running, or it cannot save.");
  at("counts").textContent = [watch.error && "The state cannot be read now: " + watch.error, count(watch.incidents) + (watch.incidents === 1 ? " incident" : " incidents") + " ("
    + count(watch.open) + " open, " + count(watch.confirmed) + " confirmed, " + count(watch.dismissed) + " dismissed) of "
    + count(watch.alerts) + " alerts in " + count(watch.steps) + " steps.", saved].filter(Boolean).join(" ");
}

function long(seconds) {
  return seconds < 120 ? Math.round(seconds) + " s" : seconds < 7200 ? Math.round(seconds / 60) + " minutes"
    : seconds < 172800 ? Math.round(seconds / 3600) + " hours" : Math.round(seconds / 86400) + " days";
}

/* What can be chosen, without letting go of what is. */
function choices(name, values, all) {
  const place = at("filter").elements[name], was = place.value;
  const known = [...place.options].slice(1).map(function (one) { return one.value; });
  if (place.options.length && JSON.stringify(known) === JSON.stringify(values)) { return; }
  fill(place, [all].concat(values).map(function (value, n) {
    const one = make("option", value || "(nameless)");
    one.value = n ? value : "";
    return one;
  }));
  place.value = was;
  if (place.selectedIndex < 0) { place.selectedIndex = 0; }
}

function list(found) {
  const now = JSON.stringify([found.incidents, found.others]);
  if (now === before) { return; }
  before = now;
  // Whoever goes through the list by keyboard stays where she is.
  const focused = document.activeElement && document.activeElement.dataset.incident;
  fill(at("list").tBodies[0], found.incidents.map(line));
  if (focused) {
    const same = [...at("list").querySelectorAll("button")].find(function (one) { return one.dataset.incident === focused; });
    if (same) { same.focus({ preventScroll: true }); }
  }
  at("others").textContent = !found.incidents.length ? (found.kept ? "No incident is like that." : "No incident yet.")
    : found.others ? count(found.others) + " older ones are not shown." : "";
  at("more").hidden = !found.others || most >= MOST;
}

function line(one) {
  const button = make("button", one.id, "link"), first = make("td"), what = cell(one.event || one.reason, "text what");
  button.type = "button";
  button.dataset.incident = one.id;
  button.setAttribute("aria-label", "incident " + one.id + " on " + one.host);
  button.addEventListener("click", function () { show(one.id); });
  first.appendChild(button);
  if (one.event) { what.appendChild(make("small", one.reason)); }
  const state = make("td");
  state.appendChild(make("span", one.state, "pill " + (one.state === "open" ? "warn" : "")));
  if (one.said) { state.append(" ", make("span", one.said, "pill " + (one.said === "confirmed" ? "fail" : "pass"))); }
  const cells = [first, cell(time(one.last || one.first), "time"), cell(one.host, "where"), what,
    cell(count(one.alerts), "n"), state];
  ["incident", "last alert", "host", "what", "alerts", "state"].forEach(function (name, n) { cells[n].dataset.name = name; });
  return row(cells);
}

function changed() {
  most = PIECE;
  wanted = true;
  listed();
}

at("filter").addEventListener("submit", function (event) { event.preventDefault(); changed(); });
at("filter").addEventListener("change", changed);
at("filter").addEventListener("input", function (event) { if (event.target.name === "text") { changed(); } });
// The form is empty only after the event.
at("filter").addEventListener("reset", function () { setTimeout(changed, 0); });
at("more").addEventListener("click", function () { most = Math.min(MOST, most * 2); wanted = true; listed(); });
