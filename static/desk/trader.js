// The page of one trader: profit and costs over time.

import { Curve } from "./chart.js";

const page = document.getElementById("trader");

fetch(page.dataset.curves).then((answer) => answer.json()).then((curves) => {
  for (const [name, tone] of [["equity", "--green"], ["cost", "--amber"]]) {
    const node = document.getElementById(name);
    if (curves[name].length > 1) new Curve(node, tone).draw(curves[name]);
    else { node.className = "empty"; node.textContent = "Not enough yet to draw."; }
  }
});
