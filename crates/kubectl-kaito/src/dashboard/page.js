// Draws what the plugin sends. Each message is the whole picture; only what changed is drawn again.
"use strict";

const marks = { done: "✓", running: "●", stuck: "✗", waiting: "○" };
const phaseNames = {
  claims: "claims", instances: "instances", nodes: "nodes", devicePlugins: "device plugins", pods: "pods", weights: "weights",
  images: "images", firstAnswer: "load, first answer", tuning: "tuning",
};
const cards = new Map();
const open = new Set();
let picture = null;

const byId = (id) => document.getElementById(id);

/** Makes an element. Texts become text nodes, never markup. */
function element(name, classes, ...children) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  made.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return made;
}

/** Dollars and cents as the plugin rounds them. */
function dollars(micros) {
  const cents = Math.max(Math.floor((micros + 5000) / 10000), micros > 0 ? 1 : 0);
  return `${Math.floor(cents / 100)}.${String(cents % 100).padStart(2, "0")}`;
}

const isUnpriced = (cost) => cost.usdMicrosPerHour === 0 && cost.unpricedNodes > 0;
const price = (cost) => (isUnpriced(cost) ? "?" : `$${dollars(cost.usdMicrosPerHour)}`);

function lasted(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 172800) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} days`;
}

/** Seconds since the plugin made the picture. */
const elapsed = (at) => Math.max(0, (Date.now() - at) / 1000);

/** Text that the clock changes. */
function ticking(made, text) {
  made.tick = () => {
    const now = text();
    if (made.textContent !== now) made.textContent = now;
  };
  made.setAttribute("data-tick", "");
  made.tick();
  return made;
}

function spent(cost, at) {
  const grows = () => cost.spentUsdMicros + (cost.usdMicrosPerHour * elapsed(at)) / 3600;
  return ticking(element("b"), () => (isUnpriced(cost) ? "?" : `$${dollars(grows())}`));
}

function totals() {
  const { totals, now } = picture;
  const tile = (name, ...value) => element("div", "", element("dt", "", name), element("dd", "", ...value));
  const attention = element("span", totals.attention > 0 ? "bad" : "", String(totals.attention));
  byId("totals").replaceChildren(
    tile("Workspaces well", String(totals.well), element("small", "", ` of ${totals.workspaces}`)),
    tile("need attention", attention),
    tile("Nodes", String(totals.cost.nodes), element("small", "", ` ${totals.cost.gpus} GPUs`)),
    tile("an hour", price(totals.cost)),
    tile("so far", spent(totals.cost, now)),
  );
}

function timeline(card, at) {
  const bar = element("div", "bar");
  bar.setAttribute("aria-hidden", "true");
  const list = element("ol", "phases");
  for (const line of card.phases) {
    const runs = line.state === "running" || line.state === "stuck";
    const seconds = () => line.seconds + (runs ? elapsed(at) : 0);
    const part = element("i", line.state);
    const grow = () => (line.seconds === undefined ? 0 : Math.max(1, Math.sqrt(seconds())));
    part.style.flex = `${grow()} 0 0`;
    bar.append(part);
    const name = `${marks[line.state]} ${phaseNames[line.phase] ?? line.phase}`;
    const text = () => (line.seconds === undefined ? name : `${name} ${lasted(seconds())}`);
    const item = element("li", line.state);
    list.append(runs ? ticking(item, text) : Object.assign(item, { textContent: text() }));
  }
  return [bar, list];
}

function facts(card, at) {
  const wanted = card.targetNodes ?? "?";
  const parts = [
    card.model,
    `${card.nodes.length} of ${wanted} node${wanted === 1 ? "" : "s"}`,
    card.cost.nodes > 0 ? element("span", "", element("b", "", price(card.cost)), " an hour") : null,
    card.cost.nodes > 0 ? element("span", "", spent(card.cost, at), " so far") : null,
    card.endpoint,
    ticking(element("span"), () => `${lasted(card.ageSeconds + elapsed(at))} old`),
  ];
  return element("div", "facts", ...parts.filter(Boolean).map((part) => element("span", "", part)));
}

function problem(found) {
  const remedy = found.remedy ? element("p", "", element("b", "", "What to do: "), found.remedy) : null;
  return element("div", "problem", element("b", "", `${found.reason}: `), found.message, remedy);
}

function table(rows, cells) {
  const body = element("tbody", "");
  for (const row of rows) body.append(element("tr", "", ...cells(row).map((cell) => element("td", "", cell))));
  return element("div", "scroll", element("table", "", body));
}

/** Pods and failed launches, folded away. */
function details(card) {
  const parts = [];
  if (card.pods.length > 0) parts.push(table(card.pods, (pod) => [pod.pod, pod.node ?? "", `${pod.container}: ${pod.state}`]));
  if (card.attempts.length > 0) {
    const cells = (found) => [found.time, found.instanceType, found.reason, found.message ?? ""];
    parts.push(table(card.attempts, cells));
  }
  if (parts.length === 0) return null;
  const names = [];
  if (card.pods.length > 0) names.push(`${card.pods.length} pod${card.pods.length === 1 ? "" : "s"}`);
  if (card.attempts.length > 0) names.push(`${card.attempts.length} refused launch${card.attempts.length === 1 ? "" : "es"}`);
  const made = element("details", "", element("summary", "", names.join(", ")), ...parts);
  const key = `${card.namespace}/${card.name}`;
  made.open = open.has(key);
  made.addEventListener("toggle", () => (made.open ? open.add(key) : open.delete(key)));
  return made;
}

function article(card, at) {
  const title = element("h3", "", element("span", "", `${card.namespace} / `), card.name);
  const head = element("div", "head", title, element("strong", card.tone, card.state));
  const waits = [card.problems.length === 0 ? card.message : "", ...card.downloads ?? [], ...card.notes ?? []];
  return element(
    "article", card.tone, head, facts(card, at), ...timeline(card, at), ...card.problems.map(problem),
    ...waits.filter(Boolean).map((text) => element("p", "waits", text)), details(card),
  );
}

function workspaces() {
  const seen = new Set();
  const shown = [];
  for (const card of picture.workspaces) {
    const key = `${card.namespace}/${card.name}`;
    seen.add(key);
    // What the clock changes is no news.
    const json = JSON.stringify(card, (name, value) => (name === "spentUsdMicros" || name === "ageSeconds" ? undefined : value));
    const running = card.phases.find((line) => line.state === "running" || line.state === "stuck");
    const news = json.replace(`"seconds":${running?.seconds}`, "");
    if (cards.get(key)?.news !== news) cards.set(key, { news, made: article(card, picture.now) });
    const { made } = cards.get(key);
    made.dataset.text = `${key} ${card.model ?? ""} ${card.state}`.toLowerCase();
    shown.push(made);
  }
  for (const key of [...cards.keys()].filter((key) => !seen.has(key))) cards.delete(key);
  const list = byId("workspaces");
  const isSame = list.children.length === shown.length && shown.every((made, index) => list.children[index] === made);
  if (!isSame) list.replaceChildren(...shown);
  filter();
}

function filter() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const { made } of cards.values()) {
    made.hidden = !words.every((word) => made.dataset.text.includes(word));
    count += made.hidden ? 0 : 1;
  }
  byId("none").hidden = count > 0;
  byId("none").textContent = cards.size > 0 ? "No Workspace matches." : "There are no Workspaces.";
}

function nodes() {
  const rows = picture.nodes.map((node) => {
    const name = node.node ? node.node : element("span", "dim", node.claim);
    const state = element("span", node.isReady ? "good" : "busy", node.state);
    return element(
      "tr", "", element("td", "", name), element("td", "", `${node.namespace} / ${node.workspace}`),
      element("td", "", node.instanceType), element("td", "number", node.isPriced ? dollars(node.usdMicrosPerHour) : "?"),
      element("td", "", state, node.message ? ` ${node.message}` : ""),
    );
  });
  byId("nodes").replaceChildren(...rows);
  byId("no-nodes").hidden = rows.length > 0;
}

function draw() {
  document.title = `KAITO ${picture.scope}`;
  byId("scope").textContent = picture.scope;
  totals();
  workspaces();
  nodes();
  byId("notes").replaceChildren(...picture.notes.map((note) => element("li", "", note)));
}

function link(tone, text) {
  byId("link").className = tone;
  byId("link").textContent = text;
}

picture = JSON.parse(byId("first").textContent);
draw();

const events = new EventSource("events");
events.onmessage = (event) => {
  picture = JSON.parse(event.data);
  link("good", "live");
  draw();
};
events.onerror = () => link("bad", "The plugin has ended, or cannot be reached. What is shown is old.");

byId("filter").addEventListener("input", filter);
setInterval(() => {
  for (const made of document.querySelectorAll("[data-tick]")) made.tick();
  // A watch that fails is repeated within half a minute, so an older failure is over.
  const failure = picture?.failure;
  const isOver = !failure || Date.now() - failure.at > 90000;
  byId("failure").hidden = isOver;
  if (!isOver) byId("failure").textContent = `The API server cannot be watched, and is tried again: ${failure.message}`;
}, 1000);
