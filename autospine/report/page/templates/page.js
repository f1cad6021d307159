"use strict";
// The page reads without this: it adds sorting, scrolling through slices, names of points, and the switch of colours.
(function () {
  function themeSwitch() {
    var button = document.getElementById("theme");
    var dark = window.matchMedia("(prefers-color-scheme: dark)");
    function isDark() {
      var chosen = document.documentElement.dataset.theme;
      return chosen ? chosen === "dark" : dark.matches;
    }
    function show() {
      button.setAttribute("aria-pressed", String(isDark()));
    }
    button.hidden = false;
    button.addEventListener("click", function () {
      document.documentElement.dataset.theme = isDark() ? "light" : "dark";
      show();
    });
    dark.addEventListener("change", show);
    show();
  }

  function sortable(table) {
    var body = table.tBodies[0];
    var heads = Array.from(table.tHead.rows[0].cells);
    heads.forEach(function (head, place) {
      var button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", function () {
        var falling = head.getAttribute("aria-sort") === "ascending";
        heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", falling ? "descending" : "ascending");
        var numeric = head.classList.contains("number");
        var rows = Array.from(body.rows);
        rows.sort(function (one, other) {
          return compare(one.cells[place], other.cells[place], numeric, falling ? -1 : 1);
        });
        body.append(...rows);
      });
    });
  }

  function compare(one, other, numeric, way) {
    if (!numeric) {
      return way * one.textContent.localeCompare(other.textContent, undefined, { numeric: true });
    }
    var known = [one, other].map(function (cell) { return "sort" in cell.dataset; });
    if (!known[0] || !known[1]) {
      return known[1] - known[0]; // what is not known comes last, either way
    }
    return way * (Number(one.dataset.sort) - Number(other.dataset.sort));
  }

  function scrolling(viewer) {
    var slider = viewer.querySelector("input[type=range]");
    var output = viewer.querySelector("output");
    var stage = viewer.querySelector(".stage");
    var places = slider.dataset.places.trim().split(" ").map(function (text) { return text.split(","); });
    var numbers = slider.dataset.numbers.split(" ");
    slider.closest("label").hidden = places.length < 2;
    function show() {
      var place = Number(slider.value);
      var said = numbers[place] + " of " + slider.dataset.of;
      viewer.style.setProperty("--x", places[place][0] + "%");
      viewer.style.setProperty("--y", places[place][1] + "%");
      output.textContent = said;
      slider.setAttribute("aria-valuetext", "slice " + said);
    }
    function move(steps) {
      slider.value = String(Math.min(Math.max(Number(slider.value) + steps, 0), places.length - 1));
      show();
    }
    slider.addEventListener("input", show);
    stage.addEventListener("wheel", function (event) {
      if (event.shiftKey) {
        event.preventDefault();
        move(Math.sign(event.deltaY || event.deltaX));
      }
    }, { passive: false });
    var from = null;
    stage.addEventListener("pointerdown", function (event) {
      from = event.clientX;
      slider.focus({ preventScroll: true });
      if (event.pointerType === "mouse") {
        event.preventDefault();
      }
    });
    window.addEventListener("pointerup", function () { from = null; });
    window.addEventListener("pointercancel", function () { from = null; });
    stage.addEventListener("pointermove", function (event) {
      var width = stage.clientWidth / Math.max(places.length, 12);
      var steps = from === null ? 0 : Math.trunc((event.clientX - from) / width);
      if (steps) {
        from += steps * width;
        move(steps);
      }
    });
    show();
  }

  function pickable(said) {
    said.closest("figure").addEventListener("click", function (event) {
      var point = event.target.closest(".point");
      if (point) {
        said.textContent = point.querySelector("title").textContent;
      }
    });
  }

  themeSwitch();
  document.querySelectorAll("table.sortable").forEach(sortable);
  document.querySelectorAll(".viewer").forEach(scrolling);
  document.querySelectorAll(".picked").forEach(pickable);
})();
