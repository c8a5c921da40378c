// Sorts tables by a click on a heading, and sorts and filters examples. Without it the page says the same.
"use strict";

for (const table of document.querySelectorAll("table.data")) {
  const body = table.tBodies[0];
  if (body.rows.length < 2) continue;
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(body, column, down ? -1 : 1);
    });
  });
}

function sort(body, column, sign) {
  const number = (cell) => (cell.dataset.key === undefined ? null : Number(cell.dataset.key));
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [a.cells[column], b.cells[column]];
    const [p, q] = [number(x), number(y)];
    if (p !== null && q !== null) return sign * (p - q);
    if (p !== null || q !== null) return p === null ? 1 : -1; // what has no number stands last either way
    return sign * x.textContent.localeCompare(y.textContent, undefined, { numeric: true });
  });
  body.append(...rows);
}

// Examples that stand open to view at first.
const FIRST = 12;
const ORDERS = {
  place: (a, b) => a.place - b.place,
  high: (a, b) => b.p - a.p,
  low: (a, b) => a.p - b.p,
  unsure: (a, b) => Math.abs(a.p - 0.5) - Math.abs(b.p - 0.5),
  differ: (a, b) => b.differ - a.differ,
};
const LABELS = { high: (one) => one.high >= 0.6, middle: (one) => one.low <= 0.6 && one.high >= 0.4, low: (one) => one.low <= 0.4 };

for (const block of document.querySelectorAll("[data-examples]")) {
  const control = (name) => block.querySelector(`[data-control="${name}"]`);
  const items = [...block.querySelectorAll(".example")].map((node, place) => ({
    node, place, p: +node.dataset.p, low: +node.dataset.low, high: +node.dataset.high, differ: +node.dataset.differ,
    orders: node.dataset.orders === "1", text: node.textContent.toLowerCase(),
  }));
  const more = document.createElement("button");
  more.type = "button";
  more.className = "more";
  let most = FIRST;
  const show = () => {
    const find = control("find").value.toLowerCase(), label = LABELS[control("label").value];
    const differ = control("differ").checked, orders = control("orders").checked;
    const kept = (one) => one.text.includes(find) && (!label || label(one)) && (!differ || one.differ > 0.25) && (!orders || one.orders);
    let count = 0;
    for (const one of [...items].sort(ORDERS[control("order").value])) {
      const found = kept(one);
      count += found ? 1 : 0;
      one.node.hidden = !found || count > most;
      block.append(one.node);
    }
    block.append(more);
    more.hidden = count <= most;
    more.textContent = `Show ${count - most} more`;
    block.querySelector("output").textContent = count === 1 ? "1 example" : `${count} examples`;
  };
  more.addEventListener("click", () => { most = Infinity; show(); });
  for (const one of block.querySelectorAll("[data-control]")) one.addEventListener("input", show);
  block.querySelector(".controls").hidden = false;
  show();
}
