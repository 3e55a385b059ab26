/* What is known of a run: what weakens it, and each detector's figures. */

import { at, cell, colour, count, fill, folded, interval, make, number, percent, reveal, row, table } from "./elements.js";

export function clearFigures() {
  ["each", "groups"].forEach(function (id) { fill(at(id), []); });
  fill(at("metrics").querySelector("tbody"), []);
}

export function showVerdict(found) {
  if (!found) { fill(at("verdict"), []); return; }
  const use = found.outcome === "use", box = make("div", found.title, "headline " + (use ? "better" : "worse"));
  found.why.forEach(function (sentence) { box.appendChild(make("p", sentence)); });
  if (!use && found.score) { box.appendChild(typed("To see all the same what " + found.detector + " says:", [found.score])); }
  box.appendChild(typed(found.next_step + ":", found.commands));
  fill(at("verdict"), [box]);
}

function typed(words, commands) {
  const line = make("p", words);
  commands.forEach(function (command, n) {
    line.append(n ? " or " : " ", make("code", command));
  });
  return line;
}

export function showCaveats(caveats) {
  function banners(kind) {
    return caveats.filter(function (one) { return one.kind === kind; })
      .map(function (one) { return make("div", one.text, kind === "grave" ? "banner bad" : "banner"); });
  }
  const audit = banners("audit"), found = banners("grave").concat(banners("plain"));
  fill(at("caveats"), audit.length ? found.concat([folded("Findings of the audit (" + audit.length + ")", audit)]) : found);
}

export function showMetrics(one) {
  reveal("metrics", "Figures", one.synthetic);
  const name = cell(one.detector), kind = one.kind + (one.pooling === null ? "" : ", by recording");
  name.appendChild(make("small", kind + ", " + count(one.windows) + (one.pooling === null ? " windows" : "")));
  fill(at("metrics").querySelector("thead"), [heads(one)]);
  const cells = one.figures.map(function (figure) { return interval(figure.found, figure.column.form); });
  at("metrics").querySelector("tbody").appendChild(row([name].concat(cells), one.kind));
  at("intervals").textContent = "95% intervals: bootstrap over " + one.clusters + (one.trusted ? "" : ", too few to be trusted")
    + ". At " + one.policy + ": at the threshold of this policy, chosen on validation. – : no value.";
  if (one.kind !== "model") { return; }
  const children = one.against ? [make("p", one.against)] : [];
  children.push(perClass(one.per_class), confusion(one.confusion));
  if (one.delays.length) { children.push(delays(one.delays)); }
  at("each").appendChild(folded(one.detector + ": by class, confusion" + (one.delays.length ? ", delays" : ""), children));
}

/* The columns are the metrics' own: whichever there are. */
function heads(one) {
  return row([make("th", "detector")].concat(one.figures.map(function (figure) {
    const column = figure.column, head = make("th", column.title + (column.at_threshold ? " at " + one.policy : ""), "n");
    head.title = column.higher_is_better ? "higher is better" : "lower is better";
    return head;
  })));
}

function perClass(rows) {
  return table(["class", "support", "predicted", "precision", "recall", "F1"], rows.map(function (one) {
    return row([cell(one.name), cell(count(one.support), "n"), cell(count(one.predicted), "n"),
      cell(number(one.precision), "n"), cell(number(one.recall), "n"), cell(number(one.f1), "n")]);
  }));
}

function confusion(found) {
  return table(["true \\ most probable"].concat(found.classes), found.counts.map(function (counts, n) {
    const total = counts.reduce(function (a, b) { return a + b; }, 0);
    return row([make("th", found.classes[n])].concat(counts.map(function (value) {
      const one = cell(count(value), "");
      one.style.background = "rgba(" + colour("--heat") + ", " + (total ? 0.75 * value / total : 0).toFixed(3) + ")";
      if (total) { one.appendChild(make("small", percent(value / total))); }
      return one;
    })));
  }), "confusion");
}

function delays(rows) {
  const heads = ["wanted FPR", "its FPR on test", "already alarmed", "attacks detected", "median delay, s"];
  return table(heads, rows.map(function (one) {
    const middle = one.median_s === null ? "–" : one.median_s.estimate === null ? "never" : number(one.median_s.estimate, 0);
    return row([cell(percent(one.fpr)), cell(percent(one.reached_fpr, 2), "n"), interval(one.already), interval(one.detected),
      cell(middle, "n")]);
  }));
}

export function showProfiles(one) {
  reveal("profiles", "Profiles", one.synthetic);
  if (one.kind !== "model") { return; }
  const children = [];
  if (one.untested.length) {
    children.push(make("p", "Not tested, and no figure says anything of it: " + one.untested.join(", ") + "."));
  }
  if (one.unseen.length) { children.push(make("p", "Never seen in training: " + one.unseen.join(", ") + ".")); }
  if (one.unvalidated.length) { children.push(make("p", "Not in validation: " + one.unvalidated.join(", ") + ".")); }
  children.push(groups("profile", one.by_profile), groups("host", one.by_host));
  const part = folded(one.detector, children);
  part.open = !at("groups").childElementCount;
  at("groups").appendChild(part);
}

function groups(title, found) {
  const rows = found.rows.map(function (one) {
    return row([cell(one.name), cell(count(one.windows), "n"), cell(number(one.macro_f1), "n"),
      cell(number(one.average_precision), "n"), cell(percent(one.recall), "n"), cell(percent(one.fpr, 2), "n"),
      cell(count(one.alerts), "n")]);
  });
  if (found.omitted) { rows.push(row([cell(found.omitted + " smaller groups are left out", "muted")])); }
  return table([title, "windows", "macro F1", "AP", "recall", "FPR", "alerts"], rows);
}
