/* Elements of the page, and figures as text. Every text becomes a text node, never markup; literal() is for
   what Plotly draws, which reads a subset of HTML. */

export function at(id) { return document.getElementById(id); }

export function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

export function literal(text) { return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;"); }

export function make(tag, text, kind) {
  const one = document.createElement(tag);
  if (text !== undefined && text !== null) { one.textContent = text; }
  if (kind) { one.className = kind; }
  return one;
}

export function fill(place, children) { place.replaceChildren.apply(place, children); }

export function number(value, digits) {
  return value === null || value === undefined ? "–" : value.toFixed(digits === undefined ? 3 : digits);
}

export function percent(value, digits) { return value === null ? "–" : number(100 * value, digits === undefined ? 1 : digits) + "%"; }

export function count(value) { return value === null ? "–" : value.toLocaleString("en"); }

/* A time (RFC 3339) to the second. */
export function time(text) { return text ? text.slice(0, 19).replace("T", " ") + "Z" : "an unknown time"; }

/* A number as Python's format() shows it by `form`: ".3f", ".1%". */
export function formatted(value, form) {
  const digits = parseInt(form.slice(1), 10);
  return form.endsWith("%") ? percent(value, digits) : number(value, digits);
}

export function interval(found, form) {
  const shown = function (value) { return formatted(value, form || ".3f"); };
  const cell = make("td", shown(found.estimate), "n");
  const told = found.method === "none" ? "no interval"
    : found.low === null || found.high === null ? "" : shown(found.low) + " to " + shown(found.high);
  if (told) { cell.appendChild(make("small", told)); }
  return cell;
}

export function row(cells, kind) {
  const one = make("tr", null, kind);
  cells.forEach(function (cell) { one.appendChild(cell); });
  return one;
}

export function cell(text, kind) { return make("td", text, kind || "text"); }

export function table(heads, rows, kind) {
  const found = make("table", null, kind), head = make("thead"), body = make("tbody"), scroll = make("div", null, "scroll");
  head.appendChild(row(heads.map(function (one, n) { return make("th", one, n ? "n" : ""); })));
  rows.forEach(function (one) { body.appendChild(one); });
  found.appendChild(head);
  found.appendChild(body);
  scroll.appendChild(found);
  return scroll;
}

export function folded(title, children) {
  const one = make("details");
  one.appendChild(make("summary", title));
  children.forEach(function (child) { one.appendChild(child); });
  return one;
}

export function reveal(id, title, synthetic) {
  const section = at(id), head = section.querySelector("h2");
  if (section.hidden) {
    section.hidden = false;
    const link = make("a", title);
    link.href = "#" + id;
    at("nav").appendChild(link);
  }
  if (synthetic && !head.querySelector(".pill")) { head.appendChild(make("span", "synthetic", "pill warn")); }
}
