"use strict";

/* The slider: of each run's pictures the last one whose place is not beyond the slider's. */
const slider = document.getElementById("step");
function show() {
  const at = Number(slider.value), step = slider.dataset.steps.split(" ")[at];
  document.querySelector("output[for=step]").textContent = step;
  slider.setAttribute("aria-valuetext", "step " + step);
  for (const figure of document.querySelectorAll(".grids figure")) {
    const images = [...figure.querySelectorAll("img")];  /* the latest first */
    const shown = images.find((image) => Number(image.dataset.from) <= at) || images.at(-1);
    for (const image of images) image.hidden = image !== shown;
    figure.querySelector(".at").textContent = "step " + shown.dataset.step;
  }
}
if (slider) slider.addEventListener("input", show);
if (slider) { slider.value = slider.max; show(); }

/* Tables: numbers as numbers, words as words, what is missing last in either order. */
function order(a, b) {
  const x = Number(a), y = Number(b);
  if (a !== "" && b !== "" && !Number.isNaN(x) && !Number.isNaN(y)) return x - y;
  return a.localeCompare(b, "en", { numeric: true });
}
function sort(head) {
  const column = head.cellIndex, body = head.closest("table").tBodies[0];
  const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const value = (row) => row.cells[column].dataset.v ?? (row.cells[column].tagName === "TH" ? row.cells[column].textContent : undefined);
  const rows = [...body.rows].map((row) => [value(row), row]);
  rows.sort(([a], [b]) => {
    if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
    return sign * order(a, b);
  });
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
  body.append(...rows.map(([, row]) => row));
}
for (const head of document.querySelectorAll(".sortable thead th"))
  head.querySelector("button").addEventListener("click", () => sort(head));

/* The heat maps' value. */
const select = document.getElementById("heat-value");
function choose() {
  for (const page of document.querySelectorAll(".maps")) page.hidden = page.dataset.value !== select.value;
}
if (select) { select.addEventListener("change", choose); choose(); }

/* Settings picked out of the curves, in both sections alike. */
const picked = new Set();
function pick(number) {
  if (!picked.delete(number)) picked.add(number);
  for (const button of document.querySelectorAll(".legend button"))
    button.setAttribute("aria-pressed", String(picked.has(button.dataset.setting)));
  for (const plot of document.querySelectorAll(".legend ~ * .plot")) {
    plot.classList.toggle("picked", picked.size > 0);
    for (const part of plot.querySelectorAll(".line, .band")) {
      const of = [...part.classList].find((name) => name.startsWith("of-")).slice(3);
      part.classList.toggle("on", picked.has(of));
    }
  }
}
for (const button of document.querySelectorAll(".legend button"))
  button.addEventListener("click", () => pick(button.dataset.setting));
