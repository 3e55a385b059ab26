"use strict";
(function () {
  var figures = JSON.parse(document.getElementById("figures").textContent);

  // Long rows of numbers from 0 to 1 are written as whole parts of `grid`, 16 bits each, in base64.
  function unpacked(row) {
    var bytes = atob(row.packed), numbers = [];
    for (var at = 0; at < bytes.length; at += 2) {
      numbers.push((bytes.charCodeAt(at) + 256 * bytes.charCodeAt(at + 1)) / row.grid);
    }
    return numbers;
  }

  // Times are written as steps from one to the next, which takes a fifth of the room of dates.
  Object.keys(figures).forEach(function (name) {
    figures[name].traces.forEach(function (trace) {
      var now = 0;
      if (trace.steps) { trace.x = trace.steps.map(function (step) { return now += step * trace.step_ms; }); }
      ["x", "y"].forEach(function (axis) {
        if (trace[axis] && trace[axis].packed !== undefined) { trace[axis] = unpacked(trace[axis]); }
      });
    });
  });

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function dressed(layout) {
    var ink = colour("--ink"), line = colour("--line"), muted = colour("--muted");
    var out = Object.assign({}, layout, {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "closest",
      font: { color: ink, family: getComputedStyle(document.body).fontFamily, size: 13 },
      margin: { l: 56, r: 24, t: 12, b: 48 }
    });
    Object.keys(out).filter(function (key) { return /^[xy]axis/.test(key); }).forEach(function (key) {
      out[key] = Object.assign({ gridcolor: line, linecolor: muted, zeroline: false, automargin: true }, out[key]);
      if (out[key].title) { out[key].title = Object.assign({ font: { size: 13 } }, out[key].title); }
    });
    return out;
  }

  function draw() {
    Object.keys(figures).forEach(function (name) {
      var place = document.getElementById("figure-" + name), figure = figures[name];
      if (place) {
        Plotly.react(place, figure.traces, dressed(figure.layout),
          { responsive: true, displaylogo: false, displayModeBar: false });
      }
    });
  }

  if (!window.Plotly) {
    document.getElementById("no-plotly").hidden = false;
    return;
  }
  draw();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  document.querySelectorAll("details").forEach(function (one) {
    one.addEventListener("toggle", function () { window.dispatchEvent(new Event("resize")); });
  });
  window.addEventListener("beforeprint", function () {
    document.querySelectorAll("details").forEach(function (one) { one.open = true; });
  });
})();
