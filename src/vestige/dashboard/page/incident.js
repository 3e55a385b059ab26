/* One incident: its reasons, its evidence with the lines beside it, and what can be said of it. */

import { at, cell, count, fill, make, row, table, time } from "./elements.js";

let shown = null, previewed = "", before = "";

export function show(id) {
  shown = id;
  before = "";
  quiet();
  at("dismiss").reset();
  at("confirm").reset();
  get();
}

/* Something has changed: of an open dialog, what it shows may have. */
export function again() { if (shown !== null && at("incident").open) { get(); } }

function get() {
  const id = shown;
  fetch("/incidents/" + encodeURIComponent(id)).then(function (answer) {
    return answer.json().then(function (found) {
      if (id !== shown) { return; }
      if (!answer.ok) { throw new Error(String(found.detail)); }
      draw(found);
    });
  }).catch(function (error) { answered("It could not be had: " + error.message, true); opened(); });
}

function opened() {
  if (!at("incident").open) {
    at("incident").showModal();
    at("incident-title").focus();
  }
}

function draw(one) {
  const now = JSON.stringify(one);
  if (now !== before) {
    before = now;
    at("incident-title").textContent = "Incident " + one.id + " on " + (one.host || "(nameless)");
    const facts = [count(one.alerts) + (one.alerts === 1 ? " alert" : " alerts"), "from " + time(one.first) + " to "
      + time(one.last), one.state].concat(one.said ? [one.said] : []);
    const body = [make("p", facts.join(" · "), "muted")];
    one.because.forEach(function (why) { if (why) { body.push(make("p", "because " + why)); } });
    body.push(make("h3", "Reasons, the strongest first"), reasons(one.reasons),
      make("h3", "Evidence" + (one.evidence.length < one.alerts ? ", the first " + count(one.evidence.length) : "")));
    one.evidence.forEach(function (place) { body.push(evidence(place)); });
    body.push(make("h3", "Raised by"), raised(one.raised));
    fill(at("incident-body"), body);
    at("incident-say").hidden = one.said !== null;
  }
  opened();
}

function reasons(found) {
  const list = make("ul");
  found.forEach(function (reason) { list.appendChild(make("li", reason.says)); });
  return list;
}

function raised(found) {
  return table(["event", "looks", "alerts"], found.map(function (one) {
    const event = make("td", null, "text"), text = make("div", one.template || one.event || "(the detector does not tell events)", "long");
    text.tabIndex = 0;
    event.appendChild(text);
    return row([event, cell(one.looks.join(", "), "looks"), cell(count(one.alerts), "n")]);
  }));
}

function evidence(place) {
  const box = make("div", null, "evidence"), lines = make("pre");
  const where = [place.file === undefined ? place.recording : place.file, place.line].filter(function (part) { return part !== undefined && part !== null; });
  box.appendChild(make("p", [time(place.time), where.join(":")].filter(Boolean).join("  "), "muted"));
  place.before.forEach(function (text) { lines.append(make("span", text + "\n", "beside")); });
  lines.append(make("mark", (place.text === undefined ? "" : String(place.text)) + "\n"));
  place.after.forEach(function (text) { lines.append(make("span", text + "\n", "beside")); });
  // A long line is gone through by the keyboard, too.
  lines.tabIndex = 0;
  lines.setAttribute("aria-label", "the line, and those beside it");
  box.appendChild(lines);
  if (place.why) { box.appendChild(make("p", "No lines beside it: " + place.why + ".", "note")); }
  return box;
}

function quiet() {
  previewed = "";
  at("answer").textContent = "";
  fill(at("hidden"), []);
  at("dismiss").elements.really.hidden = true;
}

function answered(text, bad) {
  at("answer").textContent = text;
  at("answer").className = bad ? "banner bad" : "banner";
}

function asked(preview) {
  const fields = at("dismiss").elements, days = fields.expires.value;
  return { because: fields.because.value, scope: fields.scope.value, expires_days: days === "" ? null : Number(days), preview: preview };
}

function post(what, body) {
  return fetch("/incidents/" + encodeURIComponent(shown) + "/" + what, { method: "POST",
    headers: { "content-type": "application/json" }, body: JSON.stringify(body) })
    .then(function (answer) {
      return answer.json().then(function (found) {
        if (!answer.ok) { throw new Error(String(found.detail)); }
        return found;
      });
    });
}

function preview(event) {
  event.preventDefault();
  quiet();
  const body = asked(true);
  post("dismiss", body).then(function (found) {
    previewed = JSON.stringify(body);
    const told = [make("p", found.past)];
    if (found.uncounted) { told.push(make("p", count(found.uncounted) + " alerts were raised in ways that are not kept: it may not hide all of their kind.")); }
    if (found.values) { told.push(make("p", "A look at values raised it: other new values of these events are hidden, too.")); }
    told.push(make("pre", found.entry.join("\n")));
    fill(at("hidden"), told);
    at("dismiss").elements.really.hidden = false;
    at("dismiss").elements.really.focus();
  }).catch(function (error) { answered(error.message, true); });
}

at("dismiss").addEventListener("submit", preview);
// What was shown is what is dismissed.
at("dismiss").addEventListener("input", function () { if (previewed && JSON.stringify(asked(true)) !== previewed) { quiet(); } });
at("dismiss").elements.really.addEventListener("click", function () {
  post("dismiss", asked(false)).then(function (found) { quiet(); answered("Dismissed. The exception stands in " + found.path + ".", false); get(); })
    .catch(function (error) { answered(error.message, true); });
});
at("confirm").addEventListener("submit", function (event) {
  event.preventDefault();
  const because = at("confirm").elements.because.value.trim();
  post("confirm", { because: because || null }).then(function (found) { quiet(); answered("Confirmed: it is kept in " + found.path + ".", false); get(); })
    .catch(function (error) { answered(error.message, true); });
});
at("incident").addEventListener("close", function () { shown = null; });
