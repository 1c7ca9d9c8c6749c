"use strict";
// Sort a table by the column whose heading is pressed; the baseline stays first.
for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    if (cell.classList.contains("plot")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...cell.childNodes);
    cell.append(button);
    const value = (row) => {
      const { dataset, textContent } = row.cells[column] ?? row.lastElementChild; // which spans the rest
      return dataset.value ?? textContent.trim();
    };
    button.addEventListener("click", () => {
      const down = cell.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", down ? "descending" : "ascending");
      const order = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === "" || y === "") return (x === "") - (y === ""); // what is missing stays last
        const order = isNaN(x) || isNaN(y) ? x.localeCompare(y) : x - y;
        return down ? -order : order;
      };
      for (const body of table.tBodies) {
        body.append(...[...body.rows].filter((row) => !row.matches(".base")).sort(order));
      }
    });
  });
}
// Over a seed's dot, show its learning curve among those of its arm: a copy of the arm's picture.
const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);
document.addEventListener("pointerover", ({ target }) => {
  const dot = target.closest(".strip [data-seed]");
  tip.hidden = !dot;
  if (!dot) return;
  tip.textContent = dot.textContent;
  const [arm, seed] = [dot.closest("[data-arm]").dataset.arm, dot.dataset.seed];
  const of = CSS.escape(dot.closest("[data-metric]")?.dataset.metric ?? "");
  const places = [`[data-metric=${of}]`, ""].map((of) => `.multiples${of} [data-arm="${arm}"] svg`);
  const picture = places.map((place) => document.querySelector(place)).find(Boolean)?.cloneNode(true);
  if (picture) {
    for (const part of picture.querySelectorAll("[id]")) part.removeAttribute("id");
    const curve = picture.querySelector(`[data-seed="${seed}"]`);
    curve?.classList.add("lit");
    curve?.parentNode.append(curve); // above the others
    tip.append(picture);
  }
  const { left, bottom } = dot.getBoundingClientRect();
  tip.style.left = `${Math.max(0, Math.min(left, innerWidth - tip.offsetWidth - 8)) + scrollX}px`;
  tip.style.top = `${bottom + 8 + scrollY}px`;
});
