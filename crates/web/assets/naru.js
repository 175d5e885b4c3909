// The one script. Pages are complete without it; it adds: regions that follow what changes (`data-live`), links and
// forms that swap the page in place, copy buttons, keys, the cursor of charts, and logs that scroll through a million
// lines.
// It loads nothing from elsewhere and puts only this server's own pages into the document.

const korean = () => document.documentElement.lang === "ko";
const say = (english, inKorean) => (korean() ? inKorean : english);
const parse = (text) => new DOMParser().parseFromString(text, "text/html");
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// ---- times: the reader's zone, and counting on ------------------------------------------------------------------

function keepZone() {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  if (document.cookie.split("; ").includes(`naru_zone=${zone}`)) return;
  document.cookie = `naru_zone=${zone}; Path=/; Max-Age=31536000; SameSite=Lax`;
  // The hours were written for another zone: once more, unless cookies are not kept at all.
  if (document.cookie.includes(`naru_zone=${zone}`)) patch();
}

function ago(seconds) {
  const size = Math.abs(seconds);
  if (size < 5) return say("just now", "방금");
  const units = [[60, 1, "s", "초"], [3600, 60, "min", "분"], [86400, 3600, "h", "시간"], [5184000, 86400, "d", "일"],
    [63072000, 2592000, "months", "달"], [Infinity, 31536000, "years", "년"]];
  const [, unit, english, inKorean] = units.find(([below]) => size < below);
  const count = Math.floor(size / unit);
  const words = say(`${count} ${english}`, `${count}${inKorean}`);
  return seconds < 0 ? say(`in ${words}`, `${words} 뒤`) : say(`${words} ago`, `${words} 전`);
}

function span(seconds) {
  const [h, m, s] = korean() ? ["시간", "분", "초"] : [" h", " min", " s"];
  if (seconds < 60) return `${seconds}${s}`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}${m} ${seconds % 60}${s}`;
  return `${Math.floor(seconds / 3600)}${h} ${Math.floor((seconds % 3600) / 60)}${m}`;
}

function tick() {
  for (const time of all("time[data-ago], time[data-since]")) {
    const seconds = Math.floor((Date.now() - Date.parse(time.dateTime)) / 1000);
    const text = "ago" in time.dataset ? ago(seconds) : span(Math.max(0, seconds));
    if (time.textContent !== text) time.textContent = text;
  }
}

// ---- swapping: regions, and whole pages -------------------------------------------------------------------------

let turn = 0; // counts what was asked for, so that a late answer never covers a newer one
const served = new WeakMap(); // region -> its markup as the server wrote it

/** The selector of an element, good enough to find its successor. */
function address(element) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  const tag = element.tagName.toLowerCase();
  if (element.name) return `${tag}[name="${CSS.escape(element.name)}"]`;
  const href = element.getAttribute("href");
  return href ? `${tag}[href="${CSS.escape(href)}"]` : tag;
}

/** Puts the regions of a fresh page in the place of those here, keeping focus, scroll and opened details. */
function swapRegions(fresh) {
  for (const region of all("[data-live]")) {
    const next = fresh.querySelector(`[data-live="${CSS.escape(region.dataset.live)}"]`);
    if (!next) continue;
    const markup = next.outerHTML;
    if (served.get(region) === markup || region.contains(document.activeElement?.closest("input, textarea, select"))) continue;
    const focused = region.contains(document.activeElement) ? address(document.activeElement) : null;
    const scrolled = all(".scroll", region).map((part) => part.scrollLeft);
    for (const open of all("details[id]", region)) {
      const there = next.querySelector(`#${CSS.escape(open.id)}`);
      if (there) there.open = open.open;
    }
    region.replaceWith(next);
    served.set(next, markup);
    all(".scroll", next).forEach((part, index) => (part.scrollLeft = scrolled[index] ?? 0));
    if (focused) next.querySelector(focused)?.focus({ preventScroll: true });
    enter(next);
  }
  tick();
}

/** Fetches the page again and swaps what follows changes. */
async function patch(url = location.href) {
  const mine = ++turn;
  try {
    const response = await fetch(url, { headers: { accept: "text/html" } });
    if (mine !== turn) return;
    if (response.redirected && new URL(response.url).pathname === "/login") return location.assign(response.url);
    if (response.ok) swapRegions(parse(await response.text()));
  } catch {
    // The server is away: the next ring or the next look finds it.
  }
}

/** Puts a whole page in the place of this one. */
function show(fresh, url, push) {
  const frame = fresh.querySelector(".frame");
  const script = (page) => page.querySelector("script[src]")?.getAttribute("src");
  if (!frame || script(fresh) !== script(document)) return location.assign(url);
  if (push) history.pushState({}, "", url);
  document.title = fresh.title;
  document.querySelector(".frame").replaceWith(frame);
  if (fresh.body.dataset.events) document.body.dataset.events = fresh.body.dataset.events;
  else delete document.body.dataset.events;
  enter(frame);
  follow();
}

async function visit(url, { push = true, options, scroll = 0, focus } = {}) {
  const mine = ++turn;
  const progress = document.createElement("div");
  progress.id = "progress";
  const later = setTimeout(() => document.body.append(progress), 120);
  document.body.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(url, { headers: { accept: "text/html" }, ...options });
    const isPage = response.headers.get("content-type")?.startsWith("text/html");
    if (mine !== turn) return;
    if (!isPage) return options ? tell(response.statusText) : location.assign(url);
    const fresh = parse(await response.text());
    // A refused form stays where it was sent from; whatever followed a redirect has its own address.
    const there = options && !response.redirected ? location.href : response.url + (new URL(url, location).hash || "");
    show(fresh, there, push && there !== location.href);
    const anchor = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (anchor) anchor.scrollIntoView();
    else scrollTo(0, scroll);
    const wrong = document.querySelector("[aria-invalid=true], [autofocus]");
    const kept = focus && document.getElementById(focus);
    (wrong ?? kept ?? document.getElementById("content"))?.focus({ preventScroll: true });
  } catch {
    if (options) tell(say("Naru does not answer. Nothing was sent twice; try again.", "Naru가 답하지 않아요. 다시 해 보세요."));
    else location.assign(url);
  } finally {
    clearTimeout(later);
    progress.remove();
    document.body.removeAttribute("aria-busy");
  }
}

/** One sentence at the foot of the page, for three seconds. */
function tell(text) {
  document.getElementById("said")?.remove();
  const said = document.createElement("div");
  said.id = "said";
  said.setAttribute("role", "status");
  said.textContent = text;
  document.body.append(said);
  setTimeout(() => said.remove(), 3000);
}

function isOurs(url) {
  return url.origin === location.origin && !/^\/(api|git|v2|assets)\//.test(url.pathname);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const url = new URL(link.href, location.href);
  if (link.target || link.hasAttribute("download") || "plain" in link.dataset || !isOurs(url)) return;
  if (url.pathname === location.pathname && url.search === location.search && url.hash) return;
  event.preventDefault();
  history.replaceState({ scroll: scrollY }, "");
  visit(url.href);
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  const url = new URL(event.submitter?.getAttribute("formaction") ?? form.action, location.href);
  if (event.defaultPrevented || "plain" in form.dataset || form.method === "dialog" || !isOurs(url)) return;
  event.preventDefault();
  const fields = new URLSearchParams(new FormData(form, event.submitter));
  history.replaceState({ scroll: scrollY }, "");
  if (form.method === "get") {
    url.search = fields;
    return visit(url.href);
  }
  // A form that stays leaves the reader, and the keyboard, where they are.
  const stay = "stay" in form.dataset ? { scroll: scrollY, focus: event.submitter?.id } : {};
  if (event.submitter) event.submitter.disabled = true;
  visit(url.href, { options: { method: "POST", body: fields }, ...stay }).finally(() => {
    if (event.submitter) event.submitter.disabled = false;
  });
});

addEventListener("popstate", (event) => visit(location.href, { push: false, scroll: event.state?.scroll ?? 0 }));

// ---- following what changes -------------------------------------------------------------------------------------

const PATCH_AT_MOST_EVERY = 800;
const LOOK_WITHOUT_STREAM = 15000;
let source = null;
let waiting = null;
let patchedAt = 0;

function ring() {
  if (waiting || document.hidden || !document.querySelector("[data-live]")) return;
  const wait = Math.max(0, patchedAt + PATCH_AT_MOST_EVERY - Date.now());
  waiting = setTimeout(() => {
    waiting = null;
    patchedAt = Date.now();
    // Somebody who types or goes elsewhere is not interrupted.
    if (!document.body.hasAttribute("aria-busy")) patch();
  }, wait);
}

/** Listens where the page says, unless it does already. */
function follow() {
  const url = document.body.dataset.events;
  if (source && source.url === (url && new URL(url, location.href).href)) return;
  source?.close();
  source = null;
  if (!url) return;
  source = new EventSource(url);
  source.addEventListener("change", ring);
  source.addEventListener("missed", ring);
  source.addEventListener("ready", () => patchedAt && ring());
}

document.addEventListener("visibilitychange", () => document.hidden || ring());
setInterval(() => source?.readyState === EventSource.OPEN || (document.body.dataset.events && ring()), LOOK_WITHOUT_STREAM);
setInterval(tick, 1000);
// A stream that is left open keeps the page from being put aside for "back".
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => event.persisted && ((source = null), follow(), ring()));

// ---- typing: lists that filter, names that are checked -----------------------------------------------------------

const typing = new WeakMap();
function soon(element, milliseconds, what) {
  clearTimeout(typing.get(element));
  typing.set(element, setTimeout(what, milliseconds));
}

document.addEventListener("input", (event) => {
  const field = event.target;
  const form = field.form;
  if (form && "filter" in form.dataset) soon(form, 150, () => filter(form));
  if (field.dataset?.check) soon(field, 250, () => check(field));
});

document.addEventListener("change", (event) => {
  const form = event.target.form;
  if (form && "filter" in form.dataset && event.target.tagName === "SELECT") filter(form);
});

function filter(form) {
  const url = new URL(form.action, location.href);
  url.search = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
  history.replaceState(history.state, "", url);
  patch(url.href);
}

/** Asks the server what it thinks of a field and shows the answer beside it. */
async function check(field) {
  const url = new URL(field.dataset.check, location.href);
  url.search = new URLSearchParams([[field.name, field.value]]);
  try {
    const response = await fetch(url);
    const text = await response.text();
    const into = document.getElementById(field.getAttribute("aria-describedby"));
    const said = response.ok && parse(text).body.firstElementChild;
    if (!into || !said || !field.isConnected) return;
    into.className = said.className;
    into.textContent = said.textContent;
    field.setAttribute("aria-invalid", String(said.classList.contains("wrong")));
  } catch {
    // The form itself is checked when it is sent.
  }
}

// ---- copying ----------------------------------------------------------------------------------------------------

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without TLS browsers offer only the old way.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

function offerCopy(element) {
  const button = document.createElement("button");
  const isBlock = element.classList.contains("command");
  const text = element.dataset.copy || element.textContent;
  button.type = "button";
  button.className = isBlock ? "copy" : "inline-copy";
  button.textContent = say("copy", "복사");
  button.setAttribute("aria-label", say(`copy ${text.slice(0, 60)}`, `${text.slice(0, 60)} 복사`));
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    await copy(text);
    button.textContent = say("copied", "복사함");
    setTimeout(() => (button.textContent = say("copy", "복사")), 1500);
  });
  if (isBlock) element.append(button);
  else element.after(button);
}

// ---- keys -------------------------------------------------------------------------------------------------------

let went = 0; // when `g` was pressed

document.addEventListener("keydown", (event) => {
  if (event.metaKey || event.ctrlKey || event.altKey) return;
  const field = event.target.closest?.("input, textarea, select, [contenteditable]");
  if (event.key === "Escape" && field) return field.blur();
  if (field) return;
  const keys = document.getElementById("keys");
  if (event.key === "/") {
    event.preventDefault();
    return document.querySelector('[data-key="/"]')?.focus();
  }
  if (event.key === "?" && keys) return keys.open ? keys.close() : keys.showModal();
  if (event.key === "u") {
    const crumbs = all(".crumbs a");
    return crumbs.at(-2)?.click();
  }
  // The page says which keys lead where: `data-go`.
  const place = Date.now() - went < 1200 && document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
  went = event.key === "g" ? Date.now() : 0;
  if (place) place.click();
});

// ---- what is done to every piece of a page ----------------------------------------------------------------------

function enter(root) {
  for (const region of root.matches?.("[data-live]") ? [root] : all("[data-live]", root)) {
    if (!served.has(region)) served.set(region, region.outerHTML);
  }
  all("[data-copy]", root).forEach(offerCopy);
  if (cursor !== null) all("[data-charts]", root).forEach((charts) => pointAt(charts, stepAt(charts, cursor)));
  all(".log-view", root).forEach((view) => new Log(view));
}

// ---- charts: one cursor for all of a page ------------------------------------------------------------------------

const SVG = "http://www.w3.org/2000/svg";
const LOOK_AT_FIGURES = 15000;
let cursor = null; // the instant under the cursor in ms: it stays where it was while time moves on

/** The step under an instant of a group of charts. */
function stepAt(charts, instant) {
  return Math.floor((instant - Number(charts.dataset.from)) / 1000 / Number(charts.dataset.step));
}

/** Shows the values of one step in every chart, or what is said about the whole time again. */
function pointAt(charts, step) {
  const pictures = all("svg[data-chart]", charts);
  const steps = Number(pictures[0]?.dataset.steps ?? 0);
  const shown = step !== null && step >= 0 && step < steps;
  const instant = Number(charts.dataset.from) + step * Number(charts.dataset.step) * 1000;
  cursor = shown ? instant : null;
  const isLong = steps * Number(charts.dataset.step) > 86400;
  const hour = new Date(instant).toLocaleString(document.documentElement.lang, isLong
    ? { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" }
    : { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  for (const picture of pictures) {
    const { left, width, top, bottom } = picture.dataset;
    const line = picture.querySelector(".cursor") ?? picture.appendChild(document.createElementNS(SVG, "line"));
    line.setAttribute("class", shown ? "cursor" : "cursor hidden");
    const told = picture.closest("figure").querySelector("[data-told]");
    told.dataset.told ||= told.textContent;
    if (!shown) {
      told.textContent = told.dataset.told;
      continue;
    }
    const x = Number(left) + (Number(width) * (step + 0.5)) / steps;
    for (const [name, value] of [["x1", x], ["x2", x], ["y1", top], ["y2", bottom]]) line.setAttribute(name, value);
    const values = all("path[data-values]", picture).map((path) =>
      `${path.dataset.name} ${path.dataset.values.split("|")[step] || "–"}`.trim());
    told.textContent = `${hour} · ${values.join(" · ")}`;
  }
}

document.addEventListener("pointermove", (event) => {
  const picture = event.target.closest?.("svg[data-chart]");
  if (!picture) return;
  const box = picture.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * picture.viewBox.baseVal.width;
  const { left, width, steps } = picture.dataset;
  pointAt(picture.closest("[data-charts]"), Math.floor(((x - Number(left)) / Number(width)) * Number(steps)));
}, { passive: true });

document.addEventListener("pointerout", (event) => {
  const charts = event.target.closest?.("[data-charts]");
  if (charts && !charts.contains(event.relatedTarget)) pointAt(charts, null);
}, { passive: true });

document.addEventListener("keydown", (event) => {
  const charts = document.activeElement;
  if (!charts?.matches?.("[data-charts]") || event.metaKey || event.ctrlKey || event.altKey) return;
  const last = Number(charts.querySelector("svg[data-chart]")?.dataset.steps ?? 0) - 1;
  const now = cursor === null ? last + 1 : stepAt(charts, cursor);
  const moves = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last, Escape: null };
  if (!(event.key in moves)) return;
  event.preventDefault();
  const step = moves[event.key];
  pointAt(charts, step === null ? null : Math.min(last, Math.max(0, step)));
  const said = all("figcaption", charts).map((caption) => caption.textContent.trim()).join("; ");
  document.querySelector("[data-charts-said]").textContent = step === null ? "" : said;
});

// Figures ring nobody: they are looked at as often as they are taken.
setInterval(() => document.querySelector("[data-figures]") && ring(), LOOK_AT_FIGURES);

// ---- logs -------------------------------------------------------------------------------------------------------

const ROW = 20; // px; as in the stylesheet
const BLOCK = 200; // lines fetched at once
const TALLEST = 15_000_000; // px; browsers stop somewhere above
const LOOK_EVERY = 500; // ms, while lines are still being printed

/** A log of any length: only the lines in view are in the document, the rest is fetched by line number. */
class Log {
  constructor(view) {
    this.view = view;
    this.url = view.dataset.log;
    this.total = Number(view.dataset.total);
    this.over = "over" in view.dataset;
    this.box = view.querySelector(".log");
    this.blocks = new Map(); // number -> array of elements, or a promise of them
    this.hits = [];
    this.follows = !this.over && !view.dataset.line;
    this.space = document.createElement("div");
    this.window = document.createElement("div");
    this.window.className = "window";
    this.box.replaceChildren(this.space, this.window);
    this.box.classList.add("virtual");
    view.querySelector(".pager")?.remove();
    this.box.addEventListener("scroll", () => this.scrolled(), { passive: true });
    this.more = document.createElement("button");
    this.more.className = "waiting-lines small hidden";
    this.more.addEventListener("click", () => this.toEnd());
    view.append(this.more);
    this.controls();
    this.size();
    const line = Number(view.dataset.line);
    if (line) this.go(line);
    else if (this.follows || view.dataset.at === "end") this.toEnd();
    else this.render();
    const details = view.closest("details");
    details?.addEventListener("toggle", () => details.open && (this.size(), this.follows ? this.toEnd() : this.render()));
    if (view.dataset.follow) this.listen(view.dataset.follow);
    else if (!this.over) this.timer = setInterval(() => this.look(), LOOK_EVERY);
    new ResizeObserver(() => this.render()).observe(this.box);
  }

  /** Looks whenever a line was printed; and now and then while the stream is away. Nobody is rung in a hidden tab. */
  listen(url) {
    const from = new URL(url, location.href);
    let events = null;
    const ring = (event) => {
      if (event.lastEventId) from.searchParams.set("after", event.lastEventId);
      this.rung ??= setTimeout(() => ((this.rung = null), this.look()), LOOK_EVERY / 4);
    };
    this.tend = () => {
      const gone = !this.view.isConnected;
      if (gone) clearInterval(this.timer);
      if (gone || document.hidden) {
        events?.close();
        events = null;
        return;
      }
      if (events?.readyState === EventSource.OPEN) return;
      this.look();
      if (events && events.readyState !== EventSource.CLOSED) return; // it tries again by itself
      events = new EventSource(from);
      events.addEventListener("line", ring);
    };
    this.timer = setInterval(this.tend, LOOK_EVERY * 6);
    this.tend();
    addEventListener("pagehide", () => events?.close(), { once: true });
  }

  controls() {
    const on = (name, event, what) => this.view.querySelector(`[data-do="${name}"]`)?.addEventListener(event, what);
    on("find", "input", (event) => soon(event.target, 200, () => this.find(event.target.value)));
    on("find", "keydown", (event) => event.key === "Enter" && (event.preventDefault(), this.next(event.shiftKey ? -1 : 1)));
    on("next", "click", () => this.next(1));
    on("previous", "click", () => this.next(-1));
    on("wrap", "change", (event) => (this.box.classList.toggle("wrap", event.target.checked), this.render()));
    on("times", "change", (event) => this.box.classList.toggle("bare-time", !event.target.checked));
    on("error", "click", (event) => (event.preventDefault(), this.toError()));
    this.window.addEventListener("click", (event) => {
      const link = event.target.closest("a");
      if (!link) return;
      event.preventDefault();
      event.stopPropagation();
      this.mark(Number(link.textContent));
    });
  }

  /** Lines in view at once. */
  get room() { return Math.ceil(this.box.clientHeight / ROW); }
  /** Lines that fit wholly. */
  get whole() { return Math.max(1, Math.floor(this.box.clientHeight / ROW)); }
  /** The whole height; a very long log is pressed together. */
  get height() { return Math.min(this.total * ROW, TALLEST); }

  size() {
    this.space.style.height = `${this.height}px`;
    this.box.classList.toggle("short", this.total <= 30);
    this.box.style.height = `${Math.max(1, Math.min(this.total, 36)) * ROW + 14}px`;
  }

  /** The line at the top of the view. */
  top() {
    const way = this.height - this.box.clientHeight;
    if (this.total * ROW <= TALLEST || way <= 0) return Math.floor(this.box.scrollTop / ROW);
    return Math.round((this.box.scrollTop / way) * Math.max(0, this.total - this.whole));
  }

  scrolled() {
    const atEnd = this.box.scrollTop + this.box.clientHeight >= this.box.scrollHeight - ROW;
    if (!this.over) this.follows = atEnd;
    if (atEnd) this.seen = this.total;
    this.tellWaiting();
    this.frame ??= requestAnimationFrame(() => ((this.frame = null), this.render()));
  }

  tellWaiting() {
    const count = this.total - (this.seen ?? this.total);
    this.more.classList.toggle("hidden", this.follows || this.over || count <= 0);
    this.more.textContent = say(`${count} new lines ↓`, `새 줄 ${count}개 ↓`);
  }

  async block(number) {
    const held = this.blocks.get(number);
    if (held) return held;
    const fetching = fetch(`${this.url}/lines?from=${number * BLOCK}&count=${BLOCK}`)
      .then(async (response) => {
        if (!response.ok) throw new Error(response.statusText);
        this.learn(response);
        const lines = [...parse(await response.text()).body.children];
        if (lines.length === BLOCK) this.blocks.set(number, lines);
        else this.blocks.delete(number);
        return lines;
      })
      .catch(() => (this.blocks.delete(number), []));
    this.blocks.set(number, fetching);
    if (this.blocks.size > 60) this.blocks.delete(this.blocks.keys().next().value);
    return fetching;
  }

  learn(response) {
    const total = Number(response.headers.get("naru-total"));
    this.over = response.headers.get("naru-over") === "true";
    if (total !== this.total) {
      if (total < this.total) this.blocks.clear(); // the oldest lines made room: the others have new numbers
      this.total = total;
      this.size();
    }
    if (this.over) clearInterval(this.timer);
  }

  /** Shows the lines around the top of the view. */
  async render() {
    if (!this.view.isConnected || !this.box.clientHeight) return;
    const mine = (this.rendering = (this.rendering ?? 0) + 1);
    const first = Math.max(0, Math.min(this.top(), this.total - 1) - 10);
    const last = Math.min(this.total, first + this.room + 20);
    const numbers = [];
    for (let number = Math.floor(first / BLOCK); number * BLOCK < last; number += 1) numbers.push(number);
    const blocks = await Promise.all(numbers.map((number) => this.block(number)));
    if (mine !== this.rendering) return;
    const offset = numbers[0] * BLOCK;
    const lines = blocks.flat().slice(first - offset, last - offset);
    this.window.replaceChildren(...lines);
    const skipped = this.total * ROW <= TALLEST ? first * ROW : this.box.scrollTop - (this.top() - first) * ROW;
    this.window.style.transform = `translateY(${Math.max(0, skipped)}px)`;
    for (const line of lines) this.dress(line);
  }

  /** Marks what was asked for and what was searched. */
  dress(line) {
    const number = Number(line.firstElementChild.textContent);
    line.classList.toggle("marked", number === this.marked);
    if (line.dataset.needle === (this.needle ?? "")) return;
    line.dataset.needle = this.needle ?? "";
    const text = line.lastElementChild;
    for (const mark of all("mark", text)) mark.replaceWith(mark.textContent);
    text.normalize();
    if (this.needle) highlight(text, this.needle.toLowerCase());
  }

  scrollTo(line) {
    const way = this.height - this.box.clientHeight;
    const above = Math.max(0, line - 1 - Math.floor(this.room / 3));
    this.box.scrollTop = this.total * ROW <= TALLEST ? above * ROW : (above / Math.max(1, this.total - this.whole)) * way;
  }

  /** Marks a line; its address is the page's from now on. */
  async mark(line) {
    this.marked = line;
    await this.render();
    const link = this.window.querySelector(".marked > a");
    if (link) history.replaceState(history.state, "", link.href);
  }

  go(line) {
    this.follows = false;
    this.scrollTo(line);
    this.mark(line);
  }

  toEnd() {
    this.follows = !this.over;
    this.box.scrollTop = this.box.scrollHeight;
    this.seen = this.total;
    this.tellWaiting();
    this.render();
  }

  /** While lines are still being printed: how many there are by now. */
  async look() {
    if (!this.view.isConnected) return this.tend ? this.tend() : clearInterval(this.timer);
    if (document.hidden || this.looking || !this.box.clientHeight) return;
    this.looking = true;
    const before = this.total;
    await this.block(Math.floor(this.total / BLOCK));
    this.looking = false;
    if (this.total === before) return;
    if (this.follows) this.toEnd();
    else this.tellWaiting(), this.render();
  }

  async find(needle) {
    this.needle = needle;
    this.hits = [];
    const count = this.view.querySelector("[data-count]");
    if (needle) {
      const response = await fetch(`${this.url}/find?q=${encodeURIComponent(needle)}`);
      if (needle !== this.needle || !response.ok) return;
      const found = await response.json();
      this.hits = found.lines;
      this.at = -1;
      count.textContent = say(`${found.lines.length}${found.more ? "+" : ""} found`, `${found.lines.length}${found.more ? "+" : ""}개 찾음`);
      if (found.lines.length) return this.next(1);
    } else count.textContent = "";
    this.render();
  }

  next(step) {
    if (!this.hits.length) return;
    this.at = (this.at + step + this.hits.length) % this.hits.length;
    this.view.querySelector("[data-count]").textContent = `${this.at + 1} / ${this.hits.length}`;
    this.go(this.hits[this.at]);
  }

  async toError() {
    const response = await fetch(`${this.url}/find?error=true`);
    const found = response.ok ? await response.json() : { lines: [] };
    if (found.lines.length) this.go(found.lines[0]);
    else tell(say("No line looks like an error", "오류로 보이는 줄이 없어요"));
  }
}

/** Wraps what was searched in `mark`, text node by text node. */
function highlight(element, needle) {
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  for (let node of nodes) {
    for (let at = node.data.toLowerCase().indexOf(needle); at >= 0; at = node.data.toLowerCase().indexOf(needle)) {
      const hit = node.splitText(at);
      node = hit.splitText(needle.length);
      const mark = document.createElement("mark");
      hit.replaceWith(mark);
      mark.append(hit);
    }
  }
}

// ---- begin ------------------------------------------------------------------------------------------------------

keepZone(); // before lines of logs are asked for: they carry the reader's hours
enter(document);
follow();
tick();
