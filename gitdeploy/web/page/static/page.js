// The page's script. The server makes all HTML; this asks for a part again and puts it in the old one's place, sends what
// the buttons say, and follows a running deployment through reloads, lost connections and the app's own restart.
"use strict";

const main = document.getElementById("main");
const base = document.documentElement.dataset.base;
const IDLE = 8000; // milliseconds between two looks whether somebody else began a deployment
const QUIET = 5000; // a stream that is silent for so long is checked by asking

const find = (selector, within = document) => within.querySelector(selector);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const text = (key) => find(`#texts`)?.content.querySelector(`[data-key="${key}"]`)?.textContent ?? key;

// ---- how it looks ----

function localTimes(within) {
  const two = (number) => String(number).padStart(2, "0");
  for (const time of all("time[datetime]", within)) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.textContent = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}`;
    time.title = at.toString();
  }
}

function chooseTheme(event) {
  const chosen = event.target.closest("[data-theme-choice]");
  if (!chosen) return;
  event.preventDefault();
  const theme = chosen.dataset.themeChoice;
  document.documentElement.dataset.theme = theme;
  for (const each of all("[data-theme-choice]")) each.toggleAttribute("aria-current", false);
  chosen.setAttribute("aria-current", "true");
  const path = new URL(base || "/", location.href).pathname || "/";
  document.cookie = `gitdeploy_theme=${theme}; path=${path}; max-age=31536000; samesite=lax`;
}

function say(words) {
  const place = document.getElementById("said");
  if (place && place.textContent !== words) place.textContent = words;
}

// ---- asking the server ----

class Refused extends Error {
  constructor(status, answer) {
    super(answer.error || `HTTP ${status}`);
    this.status = status;
    this.hint = answer.hint || "";
    this.translated = answer.translated;
  }
}

async function ask(path, options = {}) {
  const limit = AbortSignal.timeout(options.limit ?? 90000);
  const answer = await fetch(base + path, { signal: limit, cache: "no-store", redirect: "manual", ...options });
  if (answer.type === "opaqueredirect") throw new Refused(401, {});
  if (!answer.ok) {
    const json = (answer.headers.get("Content-Type") || "").includes("json");
    throw new Refused(answer.status, json ? await answer.json() : {});
  }
  return answer;
}

async function send(path, body, key) {
  const headers = { "Content-Type": "application/json", "X-CSRF-Token": main.dataset.csrf };
  if (key) headers["Idempotency-Key"] = key;
  return (await ask(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((n) => n.toString(16).padStart(2, "0")).join("");

// ---- parts of the page ----

const shown = new WeakMap(); // place -> the HTML that it was given, to leave alone what did not change

function put(place, html) {
  if (shown.get(place) === html) return;
  shown.set(place, html);
  const open = new Set(all("details[open][id]", place).map((each) => each.id));
  const focused = place.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  place.innerHTML = html;
  place.setAttribute("aria-busy", "false");
  for (const each of all("details[id]", place)) if (open.has(each.id)) each.open = true;
  if (focused) all("button, a, summary, input", place).find((each) => nameOf(each) === focused)?.focus();
  localTimes(place);
}

const nameOf = (element) => element.id || element.getAttribute("aria-label") || element.textContent.trim();

async function load(place, query = "") {
  const limit = place.dataset.limit && place.dataset.part !== "now" ? `?limit=${place.dataset.limit}` : "";
  try {
    put(place, await (await ask(`/part/${place.dataset.part}${query || limit}`)).text());
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return loggedOut();
    if (!place.hasAttribute("data-lazy")) return;
    problemIn(place, error);
  }
}

function made(name, words = "") {
  const element = document.createElement(name);
  element.textContent = words;
  return element;
}

// What went wrong, and below it what to do; in the reader's language where the server knows that, with the original.
function tell(place, error) {
  const own = error.translated ?? {};
  const [message, hint] = [own.error || error.message, own.hint || error.hint].map((words) => made("span", words || ""));
  place.replaceChildren(message, ...(error.hint ? [made("br"), hint] : []));
  if (error.translated) {
    const original = made("span", [error.message, error.hint].join(" ").trim());
    original.lang = "en";
    const closed = made("details");
    closed.className = "original";
    closed.append(made("summary", text("page.original")), original);
    place.append(closed);
  }
  return place;
}

function problem(error) {
  const alert = document.createElement("div");
  alert.className = "alert bad";
  alert.setAttribute("role", "alert");
  return tell(alert, error);
}

function problemIn(place, error) {
  place.replaceChildren(problem(error));
}

let soon = 0; // the timer of the next look while another command holds the lock

async function refresh({ lazily = false, first = null } = {}) {
  const now = document.getElementById("now");
  await load(now);
  clearTimeout(soon);
  if (find(".state[data-busy]")) soon = setTimeout(lookAround, 2000);
  first?.();
  follow();
  const places = all("[data-part]").filter((place) => place !== now && ["backups", "deployments"].includes(place.dataset.part));
  if (lazily) places.push(...all('[data-part="releases"]'));
  await Promise.all([...places.map((place) => load(place)), askHealth()]);
}

function askHealth() {
  const place = find('[data-part="health"][data-lazy]');
  return place ? load(place) : null;
}

async function checkForUpdates(button) {
  const place = find('[data-part="update"]');
  const words = button.textContent;
  button.disabled = true;
  button.style.minWidth = `${button.offsetWidth}px`;
  button.textContent = text("update.checking");
  say(text("update.checking"));
  await load(place, "?force=true");
  button.disabled = false;
  button.textContent = words;
  const again = find('[data-do="check"]');
  again?.focus();
  say(find("h3", place)?.textContent.trim() ?? "");
  load(find('[data-part="releases"]'));
}

// STILL: whether this plan is what is asked for when the answer comes.
async function loadPlan(place, query, still, whenDone) {
  try {
    const html = await (await ask(`/part/plan?${query}`)).text();
    if (!still()) return;
    put(place, html);
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return loggedOut();
    if (!still()) return;
    problemIn(place, error);
    place.firstElementChild.dataset.blocked = "";
  }
  whenDone?.(!find("[data-blocked]", place));
}

async function openDeployment(details) {
  const place = find("[data-place]", details);
  if (!place || place.dataset.loaded) return;
  place.dataset.loaded = "true";
  try {
    put(place, await (await ask(`/part/deployment?id=${details.dataset.deployment}`)).text());
  } catch (error) {
    delete place.dataset.loaded;
    problemIn(place, error);
  }
}

// ---- dialogs ----

const reading = new Map();

function openDialog(button) {
  const name = button.dataset.dialog;
  const dialog = document.getElementById(`dialog-${name}`);
  for (const place of all("[data-fill]", dialog)) {
    const words = button.dataset[place.dataset.fill];
    if (words) place.textContent = words;
  }
  find("[data-problem]", dialog).hidden = true;
  const { tag = "", backup = "" } = button.dataset;
  Object.assign(dialog.dataset, { name, tag, backup, localChanges: "", key: newKey() });
  const go = find("[data-go]", dialog);
  go.disabled = false;
  if (name === "label") find("input", dialog).value = button.dataset.label ?? "";
  dialog.showModal();
  const plan = find("[data-plan]", dialog);
  if (!plan) return void (find("input", dialog) ?? find("[data-close]", dialog)).focus();
  if (!reading.has(plan)) reading.set(plan, plan.innerHTML);
  put(plan, `${reading.get(plan)}`);
  plan.setAttribute("aria-live", "polite");
  const said = find("[data-said]", dialog);
  if (said) said.textContent = "";
  planInto(dialog);
}

// The plan for what the dialog asks for; the button waits until there is one that nothing stands in the way of.
function planInto(dialog, whenDone) {
  const { key, tag, backup, localChanges } = dialog.dataset;
  const go = find("[data-go]", dialog);
  go.disabled = true;
  const query = new URLSearchParams(tag ? { tag, choose: "true" } : { backup });
  if (localChanges) query.set("local_changes", localChanges);
  const still = () => dialog.dataset.key === key;
  loadPlan(find("[data-plan]", dialog), query, still, (possible) => {
    go.disabled = !possible;
    whenDone?.(possible);
  });
}

function choseLocalChanges(event) {
  const dialog = event.target.closest("dialog");
  if (event.target.name !== "local_changes" || !dialog) return;
  Object.assign(dialog.dataset, { localChanges: event.target.value, key: newKey() });
  find("[data-plan]", dialog).setAttribute("aria-live", "off"); // said in a sentence, not all of the plan again
  planInto(dialog, (possible) => {
    find("[data-said]", dialog).textContent = text(possible ? "local.ready" : "local.blocked");
  });
}

const changes = {
  upgrade: (d, dialog) =>
    // Whoever saw the releases on the way agrees to them.
    send("/api/start-upgrade", { tag: d.tag, ...(find("[data-through]", dialog) && { through: true }), ...(d.localChanges && { local_changes: d.localChanges }), wait: false }, d.key),
  restore: (d, dialog) =>
    // The dialog names what is replaced: whoever ticks the box agrees to it.
    send("/api/restore-backup", { backup_path: d.backup, ...(find("#with-data", dialog)?.checked && { with_data: true, yes: true }), wait: false }, d.key),
  delete: (d) => send("/api/delete-backup", { backup: d.backup }),
  label: (d, dialog) => send("/api/label-backup", { backup: d.backup, label: find("input", dialog).value.trim() }),
  hold: (d, dialog) => send("/api/lock", { message: find("input", dialog).value.trim() }),
};

async function confirmed(event) {
  const dialog = event.target.closest("dialog");
  if (!dialog) return;
  event.preventDefault();
  const go = find("[data-go]", dialog);
  if (go.disabled) return;
  const words = go.textContent.trim();
  go.disabled = true;
  const starts = dialog.dataset.name === "upgrade" || dialog.dataset.name === "restore";
  if (starts) find("[data-fill]", go).textContent = text("run.started");
  try {
    await changes[dialog.dataset.name](dialog.dataset, dialog);
    dialog.close();
    await refresh({
      first: () => {
        if (!starts) return;
        find("#run .headline, #ending .headline")?.focus();
        document.getElementById("now").scrollIntoView({ block: "start" });
      },
    });
  } catch (error) {
    if (error instanceof Refused && error.status === 401) {
      dialog.close();
      return loggedOut();
    }
    const place = tell(find("[data-problem]", dialog), error);
    place.hidden = false;
    place.scrollIntoView({ block: "nearest" });
    find("[data-fill]", go).textContent = words;
    go.disabled = false;
  }
}

const deeds = {
  "release-hold": () => send("/api/unlock", {}),
  backup: () => send("/api/backup", { wait: false }, newKey()),
  rehearse: (button) => send("/api/rehearse", { tag: button.dataset.tag, wait: false }, newKey()),
  recover: () => send("/api/recover", { wait: false }),
  contract: () => send("/api/contract", { wait: false }, newKey()),
  skip: (button) => send("/api/skip", { tag: button.dataset.tag }),
  unskip: (button) => send("/api/unskip", { tag: button.dataset.tag }),
};

async function deed(button) {
  button.disabled = true;
  try {
    await deeds[button.dataset.do](button);
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return loggedOut();
    (button.closest(".with-button, .lead-line") ?? button).after(problem(error));
    button.disabled = false;
    return;
  }
  button.disabled = false;
  await refresh();
}

// ---- a running deployment ----

let run = null; // the deployment that is followed: {id, since, stream, heard, timer, asking}

function follow() {
  const card = document.getElementById("run");
  const id = card?.dataset.run;
  if (run && run.id !== id) stopFollowing();
  if (!id || run) return;
  run = { id, since: Number(card.dataset.since), stream: null, heard: Date.now(), asking: false, steps: null };
  if (main.dataset.streams === "true") openStream(run);
  run.timer = setInterval(tick, 1000);
  const log = find(".log pre", card);
  if (log) log.scrollTop = log.scrollHeight;
  askProgress(run);
}

function stopFollowing() {
  clearInterval(run.timer);
  run.stream?.close();
  run = null;
}

function openStream(mine) {
  mine.stream = new EventSource(`${base}/api/events?deployment=${mine.id}&since=${mine.since}&lang=${document.documentElement.lang.slice(0, 2)}`);
  mine.stream.onmessage = (event) => hear(mine, JSON.parse(event.data));
  mine.stream.addEventListener("end", () => askProgress(mine));
  mine.stream.onerror = () => {
    if (mine.stream.readyState === EventSource.CLOSED) {
      mine.stream = null; // no room, or a proxy's error page: asking goes on
      mine.retry = Date.now() + 10000;
    }
    askProgress(mine);
  };
}

function tick() {
  if (!run) return;
  for (const took of all(".step.running .took", document.getElementById("run") ?? document)) {
    const seconds = (Date.now() - Number(took.dataset.from || Date.now())) / 1000;
    if (seconds >= 1) took.textContent = `${Math.floor(seconds)} s`;
  }
  if (!run.stream && run.retry && Date.now() > run.retry && main.dataset.streams === "true") {
    run.retry = 0;
    openStream(run);
  }
  if (!run.stream || Date.now() - run.heard > QUIET) askProgress(run);
}

async function askProgress(mine) {
  if (mine !== run || mine.asking) return;
  mine.asking = true;
  try {
    const answer = await ask(`/api/upgrade-log?deployment=${mine.id}&since=${mine.since}&lang=${document.documentElement.lang.slice(0, 2)}`, { limit: 8000 });
    hear(mine, await answer.json());
  } catch (error) {
    if (error instanceof Refused && error.status === 401) {
      stopFollowing();
      return loggedOut();
    }
    if (mine === run) connection(false);
  } finally {
    mine.asking = false;
  }
}

function connection(alive) {
  const place = find("[data-connection]");
  if (!place) return;
  if (alive === !place.classList.contains("lost")) return;
  place.dataset.words ??= place.textContent;
  place.classList.toggle("lost", !alive);
  place.textContent = alive ? place.dataset.words : text("run.lost");
  say(alive ? text("run.back") : text("run.lost"));
}

function hear(mine, state) {
  if (mine !== run) return;
  mine.heard = Date.now();
  connection(true);
  const card = document.getElementById("run");
  const fresh = state.lines.filter((line) => line.seq > mine.since);
  mine.since = Math.max(mine.since, state.since);
  const log = find(".log pre", card);
  if (fresh.length) {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(state.log.slice(-fresh.length).map((line) => `${line}\n`).join(""));
    if (atEnd) log.scrollTop = log.scrollHeight;
  }
  const key = JSON.stringify(state.steps);
  if (key !== mine.steps) {
    mine.steps = key;
    showSteps(card, state.steps);
  }
  if (state.more) return void askProgress(mine);
  if (state.status !== "running") ended();
}

async function ended() {
  stopFollowing();
  const watching = document.activeElement === document.body || document.getElementById("run")?.contains(document.activeElement);
  await refresh({
    lazily: true,
    first: () => {
      const heading = find("#ending .headline");
      if (watching) heading?.focus();
      say(heading?.textContent ?? "");
    },
  });
}

function showSteps(card, steps) {
  const list = find(".steps", card);
  const named = (name, index) => {
    const key = name === "build" && rows.slice(0, index).some((step) => step.name === "switch") ? "step.build-hooks" : `step.${name}`;
    const words = text(key);
    return words === key ? name : words;
  };
  const expected = (card.dataset.expected || "").split(" ").filter(Boolean);
  const reached = Math.max(-1, ...steps.filter((step) => step.status !== "undone").map((step) => expected.indexOf(step.name)));
  const failed = steps.some((step) => step.status === "failed" || step.status === "undone");
  const rows = [...steps, ...(failed ? [] : expected.slice(reached + 1).map((name) => ({ name, status: "pending", summary: "" })))];
  rows.forEach((step, index) => {
    const row = list.children[index] ?? list.appendChild(stepRow());
    const [, name, took, summary] = row.children;
    if (row.dataset.status === step.status && row.dataset.name === step.name && summary.textContent === step.summary) return;
    const news = row.dataset.status !== step.status || row.dataset.name !== step.name;
    row.dataset.status = step.status;
    row.dataset.name = step.name;
    row.className = `step ${step.status}`;
    const spoken = `: ${text(`run.step-${step.status}`)}`;
    name.firstChild.textContent = named(step.name, index);
    name.lastChild.textContent = spoken;
    summary.textContent = step.summary || "";
    took.dataset.from = step.status === "running" ? Math.min(Date.parse(step.at) || Date.now(), Date.now()) : "";
    took.textContent = ["running", "pending", "skipped"].includes(step.status) ? "" : lasted(step.duration);
    if (news && step.status !== "pending") say(named(step.name, index) + spoken);
  });
  while (list.children.length > rows.length) list.lastChild.remove();
}

function stepRow() {
  const row = document.createElement("li");
  for (const name of ["mark", "name", "took", "summary"]) {
    const piece = row.appendChild(document.createElement("span"));
    piece.className = name;
    if (name === "mark") piece.setAttribute("aria-hidden", "true");
    if (name === "name") piece.append("", Object.assign(document.createElement("span"), { className: "hidden" }));
  }
  return row;
}

function lasted(seconds) {
  if (seconds == null) return "";
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return whole < 120 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

// ---- while nothing runs ----

async function lookAround() {
  if (run || document.hidden || find("dialog[open]")) return;
  if (find(".state[data-busy]")) return void refresh({ lazily: true });
  try {
    const [newest] = (await (await ask("/api/deployments?limit=1", { limit: 8000 })).json()).data;
    const { deployment, last } = find(".state").dataset;
    const known = deployment || last;
    const here = newest ? String(newest.id) : "";
    const begun = newest && newest.status === "running" && deployment !== here;
    if (begun || (newest && newest.status !== "running" && !["prepare", "rehearse"].includes(newest.action) && known !== here)) await refresh({ lazily: !begun });
  } catch (error) {
    if (error instanceof Refused && error.status === 401) loggedOut();
  }
}

function loggedOut() {
  if (find("#logged-out")) return;
  const notice = document.createElement("p");
  notice.id = "logged-out";
  notice.className = "alert warn";
  notice.setAttribute("role", "alert");
  const link = document.createElement("a");
  link.href = location.href.split("#")[0];
  link.textContent = text("run.session");
  notice.append(link);
  main.prepend(notice);
}

// ---- beginning ----

function clicked(event) {
  const button = event.target.closest("[data-dialog], [data-do], [data-close], [data-more], [data-open]");
  if (!button || button.disabled) return;
  const { dialog, close, more, open } = button.dataset;
  if (dialog) openDialog(button);
  else if (close !== undefined) button.closest("dialog").close();
  else if (button.dataset.do === "check") checkForUpdates(button);
  else if (button.dataset.do) deed(button);
  else if (more) {
    event.preventDefault();
    const place = find(`[data-part="${more}"]`);
    place.dataset.limit = button.dataset.limit;
    button.textContent = "…";
    load(place);
  } else if (open) {
    const details = document.getElementById(`deployment-${open}`);
    if (!details) return;
    event.preventDefault();
    details.open = true;
    find("summary", details).focus({ preventScroll: true });
    details.scrollIntoView({ block: "start" });
  }
}

function toggled(event) {
  const details = event.target;
  if (!details.open) return;
  if (details.dataset.deployment) openDeployment(details);
  else if (details.dataset.planOf && !details.dataset.loaded) {
    details.dataset.loaded = "true";
    loadPlan(find(".plan-place", details), new URLSearchParams({ tag: details.dataset.planOf }), () => true);
  }
}

// The link that `gitdeploy web` shows carries the token behind its #, which no browser sends to a server.
function logIn(form) {
  const token = decodeURIComponent(location.hash.slice(1));
  if (!token || find("[role=alert]", form)) return;
  history.replaceState(null, "", location.pathname);
  find("#token", form).value = token;
  form.requestSubmit();
}

// The page of all apps: its list is asked for again while somebody looks.
async function renewOverview(place) {
  if (document.hidden) return;
  try {
    const made = await (await ask("/part/apps")).text();
    const focused = document.activeElement?.closest("[data-overview] li")?.id;
    place.innerHTML = made;
    localTimes(place);
    if (focused) find(`#${focused} a`)?.focus({ preventScroll: true });
  } catch (error) {
    if (error.status === 401) location.reload();
  }
}

function begin() {
  localTimes(document);
  document.addEventListener("click", chooseTheme);
  const asked = new URL(location.href);
  if (asked.searchParams.has("lang") || asked.searchParams.has("theme")) {
    asked.searchParams.delete("lang");
    asked.searchParams.delete("theme");
    history.replaceState(null, "", asked);
  }
  const form = find("form.login");
  if (form) logIn(form);
  const overview = find("[data-overview]");
  if (overview) setInterval(renewOverview, IDLE, overview);
  if (main.dataset.csrf === undefined) return;
  document.addEventListener("click", clicked);
  document.addEventListener("submit", confirmed);
  document.addEventListener("change", choseLocalChanges);
  document.addEventListener("toggle", toggled, true);
  document.addEventListener("visibilitychange", () => (document.hidden ? null : lookAround()));
  for (const place of all("[data-lazy]")) load(place);
  follow();
  if (find(".state[data-busy]")) soon = setTimeout(lookAround, 2000);
  setInterval(lookAround, IDLE);
}

begin();
