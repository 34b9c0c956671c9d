"use strict";
const table = document.getElementById("models"), body = table.tBodies[0];
const heads = [...table.tHead.rows[0].cells];
const key = (row, at) => row.cells[at].textContent.trim();
const plain = (text) => Number(text.replace(/,/g, ""));
const compare = (a, b) => {
  const [x, y] = [plain(a), plain(b)];
  if (a && b && !Number.isNaN(x) && !Number.isNaN(y)) return x - y;
  return a === b ? 0 : !a ? 1 : !b ? -1 : a.localeCompare(b);
};
heads.forEach((head, at) => head.querySelector("button").addEventListener("click", () => {
  const down = head.getAttribute("aria-sort") === "ascending";
  heads.forEach((other) => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...body.rows].sort((a, b) => compare(key(a, at), key(b, at)) * (down ? -1 : 1));
  body.append(...rows);
}));
