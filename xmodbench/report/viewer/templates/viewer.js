// The case viewer. Pictures are rows of images beside the page; a row is shown in part, and blended with itself for differences.
window.addEventListener("DOMContentLoaded", async () => {
  const { groups, metrics, colours } = JSON.parse(await unpack("cases-data"));
  const root = document.getElementById("viewer");
  const find = (selector) => root.querySelector(selector);
  const stage = find(".stage"), tiles = find(".tiles"), status = find(".status");
  const missing = new Set();
  const now = { group: 0, metric: Math.max(0, metrics.findIndex(({ id }) => id === "paper.psnr")), method: null, image: 0, row: 0, difference: false };
  let before = 0;
  const group = () => groups[now.group], metric = () => metrics[now.metric];
  const drawn = () => group().methods.filter(({ perfect }) => !perfect);
  const labelOf = (name) => group().names[name] ?? group().methods.find(({ id }) => id === name).label;
  const value = (name, row = now.row) => group().scores[name]?.[metric().id][row];
  const written = (number) => (number === undefined ? "" : number.toFixed(metric().digits));
  const plain = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const ordered = (rows) => rows.sort((a, b) => metric().sign * (value(now.method, a) - value(now.method, b)) || a - b);
  const everyRow = () => ordered(group().ids.map((_, row) => row));
  const picturedRows = () => ordered([...group().pictured]);

  // -- what is shown
  const address = (row) => {
    const file = `${group().folder}/${group().files[group().pictured.indexOf(row)]}`;
    return missing.has(file) ? group().small[row] : file;
  };
  const lay = (element, places) => {
    const count = group().images.length, url = address(now.row);
    element.style.backgroundImage = url ? places.map(() => `url("${url}")`).join(", ") : "none";
    element.style.backgroundSize = `${count * 100}% 100%`;
    element.style.backgroundPosition = places.map((place) => `${(100 * place) / Math.max(1, count - 1)}% 0`).join(", ");
    element.style.backgroundBlendMode = places.length > 1 ? "difference, normal" : "normal";
    element.style.filter = places.length > 1 ? "url(#error-colours)" : "none";
  };
  const places = (place) => (now.difference && place !== 1 ? [place, 1] : [place]);
  const draw = () => {
    const { images, size, ids, subjects, subject } = group(), name = images[now.image];
    const scale = Math.max(1, Math.floor(Math.min(root.clientWidth, 520) / size[1]));
    Object.assign(stage.style, { width: `${size[1] * scale}px`, aspectRatio: `${size[1]} / ${size[0]}` });
    stage.textContent = images.length && address(now.row) ? "" : images.length ? "The folder of pictures is not beside this page." : "No pictures: the slices could not be read.";
    if (!images.length) return;
    lay(stage, places(now.image));
    const order = everyRow(), rank = order.indexOf(now.row) + 1;
    const what = now.difference && now.image !== 1 ? `|${labelOf(name)} − target|` : labelOf(name);
    const score = value(name) === undefined ? "" : `: ${metric().label} ${written(value(name))}`;
    status.textContent = `${what}${score}. Slice ${ids[now.row]}, subject ${subjects[subject[now.row]]}; number ${rank} of ${order.length}` +
      ` by the scores of ${labelOf(now.method)}, ${metric().ranked ? "from the worst" : "from the least"}.`;
    stage.setAttribute("aria-label", status.textContent);
    [...tiles.children].forEach((tile, place) => {
      tile.setAttribute("aria-pressed", place === now.image);
      lay(tile.firstChild, places(place));
      tile.querySelector("small").textContent = written(value(images[place]));
    });
    find('[data-go="difference"]').setAttribute("aria-pressed", now.difference);
  };
  const show = (change) => {
    Object.assign(now, change);
    if (now.image !== 1) before = now.image;
    const file = group().images.length && address(now.row);
    if (file && !file.startsWith("data:")) {
      const probe = new Image();
      probe.onerror = () => { missing.add(file); draw(); };
      probe.src = file;
    }
    draw();
    if (root.dataset.plots) plot();
  };
  const build = () => {
    tiles.replaceChildren(...group().images.map((name, place) => {
      const tile = Object.assign(document.createElement("button"), { type: "button", className: "tile" });
      tile.append(document.createElement("i"), labelOf(name), document.createElement("small"));
      tile.addEventListener("click", () => show({ image: place }));
      return tile;
    }));
    fill("method", drawn().map(({ label }) => label), drawn().findIndex(({ id }) => id === now.method));
  };

  // -- the menus and keys
  const fill = (choice, labels, chosen) => find(`[data-choice="${choice}"]`).replaceChildren(
    ...labels.map((label, place) => new Option(label, place, false, place === chosen)));
  const enter = (change) => {
    Object.assign(now, change);
    const own = drawn();
    if (!own.some(({ id }) => id === now.method)) now.method = (own.find(({ control }) => !control) ?? own[0] ?? group().methods[0]).id;
    build();
    const image = group().images.indexOf(now.method);
    show({ row: at("median"), image: image < 0 ? 0 : image });
  };
  const at = (where) => {
    const order = everyRow(), pictured = new Set(group().pictured);
    const wanted = { worst: 0, median: Math.floor(order.length / 2), best: order.length - 1 }[where];
    // of a slice without a picture, the nearest that has one
    const near = order.map((row, place) => [Math.abs(place - wanted), row]).filter(([, row]) => pictured.has(row) || !pictured.size);
    return near.sort((a, b) => a[0] - b[0])[0][1];
  };
  const step = (by) => {
    const rows = picturedRows(), place = rows.indexOf(now.row) + by;
    if (rows[place] !== undefined) show({ row: rows[place] });
  };
  const turn = (by) => show({ image: (now.image + by + group().images.length) % Math.max(1, group().images.length) });
  const flip = () => show({ image: now.image === 1 ? before : 1 });
  const actions = {
    worst: () => show({ row: at("worst") }), median: () => show({ row: at("median") }), best: () => show({ row: at("best") }),
    down: () => step(-1), up: () => step(1), difference: () => show({ difference: !now.difference }),
  };
  const keys = {
    ArrowLeft: () => turn(-1), ArrowRight: () => turn(1), ArrowUp: () => step(-1), ArrowDown: () => step(1), " ": flip,
    d: actions.difference, w: actions.worst, m: actions.median, b: actions.best, s: () => show({ image: 0 }), t: () => show({ image: 1 }),
  };
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
    if (event.key === " " && event.target.tagName === "BUTTON") return;
    const place = Number(event.key) + 1;
    const act = keys[event.key] ?? (place >= 2 && place < group().images.length ? () => show({ image: place }) : null);
    if (!act || !group().images.length) return;
    event.preventDefault();
    act();
  });
  root.addEventListener("click", (event) => actions[event.target.dataset.go]?.());
  root.addEventListener("change", ({ target }) => {
    const place = Number(target.value), choice = target.dataset.choice;
    if (choice) enter(choice === "method" ? { method: drawn()[place].id } : { [choice]: place });
  });
  document.addEventListener("click", (event) => {
    const { group: key, method, metric: id } = event.target.closest?.("a.open")?.dataset ?? {};
    const place = groups.findIndex((other) => other.key === key);
    if (place < 0) return;
    event.preventDefault();
    const kind = metrics.findIndex((other) => other.id === id);
    enter({ group: place, method, ...(kind < 0 ? {} : { metric: kind }) });
    document.getElementById("viewer").scrollIntoView();
    stage.focus({ preventScroll: true });
  });

  // -- the plots
  const layout = (height, more) => ({
    height, margin: { l: 8, r: 8, t: 8, b: 8 }, font: { size: 13 }, showlegend: false, hovermode: "closest", dragmode: false, ...more,
  });
  const grid = { gridcolor: "#e3e8ee", zeroline: false, automargin: true };
  const config = { displaylogo: false, responsive: true, displayModeBar: false };
  const clicked = (element, row) => {
    if (element.dataset.clicks) return;
    element.dataset.clicks = "on";
    element.on("plotly_click", ({ points }) => {
      const found = row(points[0]);
      if (found !== undefined && group().pictured.includes(found)) show({ row: found });
    });
  };
  const plot = () => {
    const methods = drawn(), title = { text: metric().label };
    const points = methods.map(({ id, short, control }) => {
      const colour = control ? "#7f7f7f" : colours[group().methods.findIndex((other) => other.id === id) % (colours.length - 2)];
      return {
        type: "box", orientation: "h", x: group().scores[id][metric().id] ?? [], name: short, boxpoints: "all", jitter: 0.6, pointpos: 0, fillcolor: "rgba(0,0,0,0)",
        line: { width: 1, color: colour }, marker: { size: 6, opacity: 0.55, color: colour }, text: group().ids.map(plain), customdata: group().ids.map((_, row) => row),
        hoveron: "points", hovertemplate: "%{text}: %{x}<extra></extra>",
      };
    });
    const stars = {
      type: "scatter", mode: "markers", x: methods.map(({ id }) => value(id)), y: methods.map(({ short }) => short), hoverinfo: "skip",
      marker: { symbol: "star", size: 14, color: "#e69f00", line: { width: 1, color: "#000000" } },
    };
    const spots = document.getElementById("case-points");
    Plotly.react(spots, [...points, stars], layout(90 + 52 * methods.length, { xaxis: { ...grid, title }, yaxis: { ...grid, autorange: "reversed" } }), config);
    clicked(spots, ({ customdata, pointNumber, data }) => (data.type === "box" ? customdata ?? pointNumber : undefined));
    const here = group().subject[now.row], names = methods.map(({ short }) => short);
    const means = (subject) => methods.map(({ id }) => group().means[id][metric().id]?.[subject]);
    const each = group().subjects.map((_, subject) => means(subject));
    const lines = each.map((y, subject) => ({
      type: "scatter", mode: "lines+markers", x: names, y, customdata: names.map(() => subject), hovertemplate: `${plain(group().subjects[subject])}: %{y}<extra></extra>`,
      line: { width: subject === here ? 3 : 1, color: subject === here ? "#d55e00" : "#9aa5b1" }, marker: { size: subject === here ? 8 : 5 },
    }));
    lines.sort((a, b) => a.line.width - b.line.width);
    const mean = { type: "scatter", mode: "lines+markers", x: names, y: names.map((_, place) => each.reduce((sum, y) => sum + y[place], 0) / each.length),
      line: { width: 2.5, color: "#000000", dash: "dot" }, marker: { size: 9, symbol: "diamond" }, hovertemplate: "mean: %{y}<extra></extra>" };
    const people = document.getElementById("case-subjects");
    Plotly.react(people, [...lines, mean], layout(380, { xaxis: { ...grid, type: "category" }, yaxis: { ...grid, title } }), config);
    clicked(people, ({ customdata: subject }) => everyRow().filter((row) => group().subject[row] === subject && group().pictured.includes(row))[0]);
  };
  fill("group", groups.map(({ title, simulated }) => title + (simulated && !title.includes("simulated") ? " (simulated)" : "")), 0);
  fill("metric", metrics.map(({ label }) => label), now.metric);
  enter({});
  root.dataset.ready = "true";
  const start = () => later(document.getElementById("case-points"), () => { root.dataset.plots = "ready"; plot(); });
  if (document.documentElement.dataset.plots) start(); else document.addEventListener("plots-ready", start);
  window.addEventListener("resize", draw);
});
