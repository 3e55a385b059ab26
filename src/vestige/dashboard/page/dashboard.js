"use strict";
(function () {
  /* Every text comes through textContent, or through literal() where Plotly would read a subset of HTML. */
  var COLOURS = ["#8a929e", "#3b7dd8", "#d9622b", "#9a5fd0", "#2a9d7c", "#b58900", "#c2477f"];
  var MOST_RECORDINGS = 100, MOST_POINTS = 2000, DRAW_MS = 250;
  var run, recordings, chosen, dirty, perf;

  function at(id) { return document.getElementById(id); }

  function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

  function literal(text) { return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); }

  function make(tag, text, kind) {
    var one = document.createElement(tag);
    if (text !== undefined && text !== null) { one.textContent = text; }
    if (kind) { one.className = kind; }
    return one;
  }

  function fill(place, children) { place.replaceChildren.apply(place, children); }

  function number(value, digits) {
    return value === null || value === undefined ? "–" : value.toFixed(digits === undefined ? 3 : digits);
  }

  function percent(value, digits) { return value === null ? "–" : number(100 * value, digits === undefined ? 1 : digits) + "%"; }

  function count(value) { return value === null ? "–" : value.toLocaleString("en"); }

  function interval(found) {
    var cell = make("td", number(found.estimate), "n");
    var told = found.method === "none" ? "no interval"
      : found.low === null || found.high === null ? "" : number(found.low) + " to " + number(found.high);
    if (told) { cell.appendChild(make("small", told)); }
    return cell;
  }

  function row(cells, kind) {
    var one = make("tr", null, kind);
    cells.forEach(function (cell) { one.appendChild(cell); });
    return one;
  }

  function cell(text, kind) { return make("td", text, kind || "text"); }

  function table(heads, rows, kind) {
    var found = make("table", null, kind), head = make("thead"), body = make("tbody"), scroll = make("div", null, "scroll");
    head.appendChild(row(heads.map(function (one, n) { return make("th", one, n ? "n" : ""); })));
    rows.forEach(function (one) { body.appendChild(one); });
    found.appendChild(head);
    found.appendChild(body);
    scroll.appendChild(found);
    return scroll;
  }

  function folded(title, children) {
    var one = make("details");
    one.appendChild(make("summary", title));
    children.forEach(function (child) { one.appendChild(child); });
    return one;
  }

  function reveal(id, title, synthetic) {
    var section = at(id), head = section.querySelector("h2");
    if (section.hidden) {
      section.hidden = false;
      var link = make("a", title);
      link.href = "#" + id;
      at("nav").appendChild(link);
    }
    if (synthetic && !head.querySelector(".pill")) { head.appendChild(make("span", "synthetic", "pill warn")); }
  }

  /* ---- the run and its figures ---- */

  function begin(event) {
    run = event;
    recordings = new Map();
    chosen = null;
    ["replay", "perf", "metrics", "profiles"].forEach(function (id) {
      at(id).hidden = true;
      at(id).querySelectorAll("h2 .pill").forEach(function (one) { one.remove(); });
    });
    ["nav", "each", "groups"].forEach(function (id) { fill(at(id), []); });
    fill(at("metrics").querySelector("tbody"), []);
    fill(at("recordings").tBodies[0], []);
    document.title = event.title + " – vestige";
    at("title").textContent = event.title;
    at("about").textContent = [event.source, event.view && "view " + event.view, event.split && "split by " + event.split,
      event.created].filter(Boolean).join(" · ");
    warn(event.caveats);
    if (event.player) {
      var limit = event.player.threshold;
      at("player").textContent = "By " + event.player.name + " (" + event.player.view + "): " + (limit === null
        ? "it has no threshold and never alerts." : "it alerts where 1 − P(" + event.classes[0] + ") is at least "
        + Number(limit.toPrecision(6)) + " (policy " + event.player.policy + ", chosen on validation): where P(" + event.classes[0]
        + ") is on the dashed line or below.");
      legend();
      reveal("replay", "Replay", false);
    }
  }

  function warn(caveats) {
    function banners(kind) {
      return caveats.filter(function (one) { return one.kind === kind; })
        .map(function (one) { return make("div", one.text, kind === "grave" ? "banner bad" : "banner"); });
    }
    var audit = banners("audit"), found = banners("grave").concat(banners("plain"));
    fill(at("caveats"), audit.length ? found.concat([folded("Findings of the audit (" + audit.length + ")", audit)]) : found);
  }

  function onMetrics(one) {
    reveal("metrics", "Figures", one.synthetic);
    var name = cell(one.detector), kind = one.kind + (one.verdict === "window" ? "" : ", by recording");
    name.appendChild(make("small", kind + ", " + count(one.windows) + (one.verdict === "window" ? " windows" : "")));
    at("metrics").querySelector("tbody").appendChild(row([name, interval(one.macro_f1), interval(one.average_precision),
      interval(one.recall), interval(one.fpr), interval(one.precision)], one.kind));
    at("intervals").textContent = "95% intervals: bootstrap over " + one.clusters + (one.trusted ? "" : ", too few to be trusted")
      + ". Recall, FPR and precision at the threshold of " + one.policy + ", chosen on validation. – : no value.";
    if (one.kind !== "model") { return; }
    var children = one.against ? [make("p", one.against)] : [];
    children.push(perClass(one.per_class), confusion(one.confusion));
    if (one.delays.length) { children.push(delays(one.delays)); }
    at("each").appendChild(folded(one.detector + ": by class, confusion" + (one.delays.length ? ", delays" : ""), children));
  }

  function perClass(rows) {
    return table(["class", "support", "predicted", "precision", "recall", "F1"], rows.map(function (one) {
      return row([cell(one.name), cell(count(one.support), "n"), cell(count(one.predicted), "n"),
        cell(number(one.precision), "n"), cell(number(one.recall), "n"), cell(number(one.f1), "n")]);
    }));
  }

  function confusion(found) {
    return table(["true \\ said"].concat(found.classes), found.counts.map(function (counts, n) {
      var total = counts.reduce(function (a, b) { return a + b; }, 0);
      return row([make("th", found.classes[n])].concat(counts.map(function (value) {
        var one = cell(count(value), "");
        one.style.background = "rgba(" + colour("--heat") + ", " + (total ? 0.75 * value / total : 0).toFixed(3) + ")";
        if (total) { one.appendChild(make("small", percent(value / total))); }
        return one;
      })));
    }), "confusion");
  }

  function delays(rows) {
    var heads = ["wanted FPR", "its FPR on test", "already alarmed", "attacks detected", "median delay, s"];
    return table(heads, rows.map(function (one) {
      var middle = one.median_s.estimate;
      return row([cell(percent(one.fpr)), cell(percent(one.reached_fpr, 2), "n"), interval(one.already), interval(one.detected),
        cell(middle === null ? "never" : number(middle, 0), "n")]);
    }));
  }

  function onProfiles(one) {
    reveal("profiles", "Profiles", one.synthetic);
    if (one.kind !== "model") { return; }
    var children = [];
    if (one.untested.length) {
      children.push(make("p", "Not tested, and no figure says anything of it: " + one.untested.join(", ") + "."));
    }
    if (one.unseen.length) { children.push(make("p", "Never seen in training: " + one.unseen.join(", ") + ".")); }
    if (one.unvalidated.length) { children.push(make("p", "Not in validation: " + one.unvalidated.join(", ") + ".")); }
    children.push(groups("profile", one.by_profile), groups("host", one.by_host));
    var part = folded(one.detector, children);
    part.open = !at("groups").childElementCount;
    at("groups").appendChild(part);
  }

  function groups(title, found) {
    var rows = found.rows.map(function (one) {
      return row([cell(one.name), cell(count(one.windows), "n"), cell(number(one.macro_f1), "n"),
        cell(number(one.average_precision), "n"), cell(percent(one.recall), "n"), cell(percent(one.fpr, 2), "n"),
        cell(count(one.alerts), "n")]);
    });
    if (found.omitted) { rows.push(row([cell(found.omitted + " smaller groups are left out", "muted")])); }
    return table([title, "windows", "macro F1", "AP", "recall", "FPR", "alerts"], rows);
  }

  /* ---- the replay ---- */

  function onRecording(event) {
    if (event.synthetic) { reveal("replay", "Replay", true); }
    var one = { event: event, points: [], windows: 0, alerts: 0, early: 0, first: null, origin: event.begin, dirty: true };
    recordings.set(event.number, one);
    one.row = row([cell(""), cell(event.host), cell(event.profile), cell("", "n"), cell("", "n"),
      cell(since(one, event.attack), "n"), cell("", "n"), cell("", "n")]);
    var button = make("button", event.id, "link");
    button.addEventListener("click", function () { at("follow").checked = false; choose(one); });
    one.row.firstChild.appendChild(button);
    at("recordings").tBodies[0].prepend(one.row);
    if (recordings.size > MOST_RECORDINGS) {
      var oldest = recordings.values().next().value;
      recordings.delete(oldest.event.number);
      oldest.row.remove();
    }
    if (at("follow").checked || !chosen) { choose(one); }
  }

  function choose(one) {
    if (chosen) { chosen.row.classList.remove("chosen"); }
    chosen = one;
    one.row.classList.add("chosen");
    dirty = true;
  }

  function onScore(event) {
    var one = recordings.get(event.recording);
    if (!one) { return; }
    if (one.origin === null && event.time !== null) { one.origin = event.time; }
    one.windows = event.window;
    one.points.push({ time: event.time, window: event.window, proba: event.proba, alert: event.alert,
      said: event.said, truth: event.truth });
    if (one.points.length > MOST_POINTS) { one.points.splice(0, MOST_POINTS / 4); }
    if (event.alert) {
      one.alerts += 1;
      if (one.event.attack !== null && event.time < one.event.attack) { one.early += 1; }
      else if (one.first === null) { one.first = event; }
    }
    one.dirty = true;
    if (one === chosen) { dirty = true; }
  }

  function since(one, time) {
    return time === null || one.origin === null ? "–" : number(time - one.origin, 0);
  }

  function delay(one) {
    return one.first === null || one.event.attack === null ? null : one.first.time - one.event.attack;
  }

  function tell(one) {
    var cells = one.row.cells, late = delay(one);
    cells[3].textContent = count(one.windows);
    cells[4].textContent = count(one.alerts) + (one.early ? " (" + count(one.early) + " early)" : "");
    cells[6].textContent = one.first === null ? "–" : one.first.time === null
      ? "window " + count(one.first.window) : since(one, one.first.time);
    cells[7].textContent = late === null ? "–" : number(late, 0) + " s";
    one.dirty = false;
  }

  function sentence(one) {
    var last = one.points[one.points.length - 1];
    if (!last) { return ""; }
    var said = "Window " + count(last.window) + ": " + last.said + " (" + percent(Math.max.apply(null, last.proba), 0) + ")"
      + (last.truth === null ? "" : ", truly " + last.truth) + ".";
    var late = delay(one), attack = one.event.attack;
    if (attack !== null && late !== null) {
      return said + " First alert " + number(late, 0) + " s after the attack began"
        + (one.early ? " (" + count(one.early) + " came before)." : ".");
    }
    if (attack !== null && last.time >= attack) { return said + " The attack has begun; no alert since."; }
    return said + (one.alerts ? " " + count(one.alerts) + " alerts." : " No alert.");
  }

  function dressed(one, xs) {
    var ink = colour("--ink"), line = colour("--line"), muted = colour("--muted"), timed = one.origin !== null;
    var axis = { gridcolor: line, linecolor: muted, zeroline: false, automargin: true };
    var end = one.event.end === null || !timed ? xs[xs.length - 1] : one.event.end - one.origin;
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "x unified", showlegend: false,
      font: { color: ink, family: getComputedStyle(document.body).fontFamily, size: 13 },
      hoverlabel: { bgcolor: colour("--card"), font: { color: ink } },
      margin: { l: 48, r: 12, t: 24, b: 44 },
      xaxis: Object.assign({}, axis, { title: { text: timed ? "seconds" : "window" },
        range: one.event.end === null || !timed ? undefined : [0, end] }),
      yaxis: Object.assign({}, axis, { title: { text: "probability" }, range: [-0.02, 1.08], dtick: 0.25 }),
      shapes: shapes(one, end), annotations: notes(one, end)
    };
  }

  function shapes(one, end) {
    var found = one.event.spans.map(function (span, n) {
      var next = one.event.spans[n + 1];
      return { type: "rect", layer: "below", yref: "paper", y0: 0, y1: 1, x0: span.begin - one.origin, line: { width: 0 },
        x1: next ? next.begin - one.origin : end, fillcolor: hue(run.classes.indexOf(span.label)), opacity: 0.13 };
    });
    var limit = run.player && run.player.threshold;
    if (one.event.attack !== null) { found.push(upright(one.event.attack - one.origin, colour("--bad"), "dot")); }
    if (one.event.attack !== null && one.first) { found.push(upright(one.first.time - one.origin, colour("--bad"), "solid")); }
    if (limit !== null && limit <= 1) {
      found.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: 1 - limit, y1: 1 - limit,
        line: { color: colour("--muted"), width: 1, dash: "dash" } });
    }
    return found;
  }

  function upright(x, ink, dash) {
    return { type: "line", yref: "paper", y0: 0, y1: 1, x0: x, x1: x, line: { color: ink, width: 1.5, dash: dash } };
  }

  function notes(one, end) {
    var scale = (at("chart").clientWidth - 60) / end;
    return one.event.spans.filter(function (span, n) {
      var next = one.event.spans[n + 1], until = next ? next.begin - one.origin : end;
      return (until - (span.begin - one.origin)) * scale > 6.5 * span.label.length;
    }).map(function (span) {
      return { x: span.begin - one.origin, y: 1, yref: "paper", yanchor: "bottom", xanchor: "left", showarrow: false,
        text: literal(span.label), font: { size: 11, color: colour("--muted") } };
    });
  }

  function legend() {
    fill(at("legend"), run.classes.map(function (name, k) {
      var one = make("li", name), swatch = make("span", null, "swatch");
      swatch.style.background = hue(k);
      one.prepend(swatch);
      return one;
    }).concat([make("li", "| alert", "alert")]));
  }

  function hue(n) { return COLOURS[(n + COLOURS.length) % COLOURS.length]; }

  function draw(one) {
    var xs = one.points.map(function (p) { return p.time !== null && one.origin !== null ? p.time - one.origin : p.window; });
    var traces = run.classes.map(function (name, k) {
      return { type: "scatter", mode: "lines", name: literal(name), x: xs, line: { color: hue(k), width: k ? 2 : 1.5 },
        y: one.points.map(function (p) { return p.proba[k]; }), hovertemplate: "%{y:.2f}" };
    });
    var alerts = one.points.map(function (p) { return p.alert ? 1.04 : null; });
    traces.push({ type: "scatter", mode: "markers", name: "alert", x: xs, y: alerts, hoverinfo: "skip",
      marker: { color: colour("--bad"), size: 6, symbol: "line-ns-open" } });
    at("shown").textContent = [one.event.id, one.event.profile, one.event.host].filter(Boolean).join(" · ");
    at("said").textContent = sentence(one);
    Plotly.react(at("chart"), traces, dressed(one, xs), { responsive: true, displaylogo: false, displayModeBar: false });
  }

  /* ---- what it takes ---- */

  function onPerf(one) {
    perf = one;
    reveal("perf", "Performance", false);
    var rows = [["state", one.state], ["windows", count(one.windows)], ["recordings", count(one.recordings)],
      ["extraction", number(one.extraction_ms) + " ms"], ["inference", number(one.inference_ms) + " ms"],
      ["windows a second", one.windows_per_s === null ? "–" : count(Math.round(one.windows_per_s))],
      ["windows at a time", number(one.batch, 0)],
      ["memory", one.memory === null ? "–" : number(one.memory / 1048576, 0) + " MiB"], ["cores", count(one.cores)],
      ["running for", number(one.seconds, 0) + " s"]];
    fill(at("measured"), rows.map(function (pair) {
      var box = make("div");
      box.appendChild(make("dt", pair[0]));
      box.appendChild(make("dd", pair[1]));
      return box;
    }));
    at("progress").textContent = one.state === "failed" ? "The replay ended: " + one.note
      : one.state === "done" ? "The replay is over." : one.total ? percent(Math.min(1, one.bytes / one.total), 0) + " of the evidence read" : "";
  }

  /* ---- the stream ---- */

  var handlers = { run: begin, metrics: onMetrics, profiles: onProfiles, recording: onRecording, score: onScore, perf: onPerf };

  function link(text, kind) {
    at("link").textContent = text;
    at("link").className = "pill " + kind;
  }

  function listen() {
    var stream = new EventSource("/events");
    stream.onopen = function () { link("connected", "pass"); };
    stream.onerror = function () { link(stream.readyState === EventSource.CLOSED ? "ended" : "reconnecting", "warn"); };
    stream.onmessage = function (message) {
      var event = JSON.parse(message.data), handle = handlers[event.event];
      if (handle && (run || event.event === "run")) { handle(event); }
    };
  }

  setInterval(function () {
    if (!recordings) { return; }
    recordings.forEach(function (one) { if (one.dirty) { tell(one); } });
    if (dirty && chosen && chosen.points.length) { dirty = false; draw(chosen); }
  }, DRAW_MS);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", function () { dirty = true; });
  listen();
})();
