// What the page holds packed: gzip in base 64
const unpack = async (id) => {
  const packed = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
};
const blobOf = (code) => URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
// What is far down the page waits until it is nearly in sight, or until the page is printed
const later = (element, act) => {
  const once = () => { near.disconnect(); window.removeEventListener("beforeprint", once); act(); };
  const near = new IntersectionObserver((entries) => entries.some(({ isIntersecting }) => isIntersecting) && once(), { rootMargin: "400px" });
  near.observe(element);
  window.addEventListener("beforeprint", once);
};
// Turns the plain tables into sortable, filterable ones. Without scripts they stay readable; with scripts their thousands of
// cells are text (noscript) until they are wanted, or the page would be long in opening.
(async () => {
  const url = blobOf(await unpack("table-code"));
  const { default: DataTable } = await import(url);
  URL.revokeObjectURL(url);
  // numbers: what has none comes last, whichever way they are sorted
  const ordered = (sign) => (a, b) => (a === "") - (b === "") || sign * (a - b);
  DataTable.ext.type.order["value-asc"] = ordered(1);
  DataTable.ext.type.order["value-desc"] = ordered(-1);
  // a menu of the values in each of the columns with few of them
  const columns = (table, mark) => [...table.tHead.rows[0].cells].flatMap((cell, place) => (mark in cell.dataset ? [place] : []));
  const options = { pageLength: 25, order: [], autoWidth: false, lengthMenu: [25, 100, { label: "all", value: -1 }] };
  const placeOf = (id) => document.querySelector(`[data-rows="${id}"]`);
  const make = (id) => {
    const place = placeOf(id), plain = place?.querySelector("noscript");
    if (plain) place.innerHTML = plain.textContent;
    const table = document.getElementById(id);
    if (!table || DataTable.isDataTable(table)) return;
    const columnControl = { target: 0, content: ["order"] };
    const columnDefs = [
      { targets: columns(table, "filter"), columnControl: { target: 0, content: ["order", ["searchList"]] } },
      { targets: columns(table, "value"), type: "value", className: "dt-right" },
    ];
    new DataTable(table, { ...options, ordering: { indicators: false }, columnControl, columnDefs });
  };
  for (const id of ["all", "jobs"]) {
    const place = placeOf(id);
    if (place) later(place, () => make(id));
  }
  placeOf("pairs")?.closest("details").addEventListener("toggle", () => make("pairs"));
  window.addEventListener("beforeprint", () => make("pairs"));
  document.documentElement.dataset.tables = "ready";
})();
// Plots stand in the page as JSON and are drawn by plotly
(async () => {
  const src = blobOf(await unpack("plotly-code"));
  await new Promise((onload, onerror) => document.head.append(Object.assign(document.createElement("script"), { src, onload, onerror })));
  URL.revokeObjectURL(src);
  for (const described of document.querySelectorAll("script[data-plot]")) {
    const place = document.getElementById(described.dataset.plot);
    const { data, layout, config } = JSON.parse(described.textContent);
    later(place, () => Plotly.newPlot(place, data, layout, config));
  }
  document.documentElement.dataset.plots = "ready";
  document.dispatchEvent(new Event("plots-ready"));
})();
// Small pictures give way to those of the folder beside the page, where it is there
document.querySelectorAll("img[data-full]").forEach((picture) => later(picture, () => {
  const full = new Image();
  full.onload = () => (picture.src = full.src);
  full.src = picture.dataset.full;
}));
// The menu above the dot plot
document.getElementById("metric")?.addEventListener("change", (event) => {
  const { visible, title, range } = JSON.parse(document.getElementById("choices").textContent)[event.target.value];
  Plotly.update("dots", { visible }, { "xaxis.title.text": title, "xaxis.range": range });
});
// Paper has no folds: open them all before printing
window.addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => (part.open = true)));
