// Pages work without this: it puts the reader's own time beside UTC, counts down, copies commands, and brings news.

const SILENCE_MS = 25_000; // The server sends something every 10 s.
const REOPEN_MS = 5_000;
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hour12: false, timeZoneName: "short" });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });

// The reader's own time; with its day only where that is another one than in UTC.
function local(at) {
  return at.getDate() === at.getUTCDate() ? clock.format(at) : `${day.format(at)}, ${clock.format(at)}`;
}

function dress(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (time.querySelector(".local") || Number.isNaN(at.valueOf()) || at.getTimezoneOffset() === 0) continue;
    const own = document.createElement("span");
    own.className = "local";
    own.textContent = local(at);
    time.append(own);
  }
  for (const button of root.querySelectorAll("button[data-copy]")) button.hidden = !navigator.clipboard;
  countDown(root);
}

function words(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let rest = Math.max(0, Math.round(seconds));
  const first = units.findIndex(([, length]) => rest >= length);
  if (first < 0) return "0 s";
  const said = [];
  for (const [unit, length] of units.slice(first, first + 2)) {
    const count = Math.floor(rest / length);
    rest -= count * length;
    if (count) said.push(`${count} ${unit}`);
  }
  return said.join(" ");
}

function countDown(root) {
  for (const element of root.querySelectorAll("[data-countdown]")) {
    const left = (new Date(element.dataset.countdown) - Date.now()) / 1000;
    const text = left > 0 ? `in ${words(left)}` : "now";
    if (element.textContent !== text) element.textContent = text;
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

// A part that somebody types into, or has opened or focused, is left as it is.
function isInUse(part) {
  const active = document.activeElement;
  if (active && active !== part && part.contains(active)) return true;
  if (part.querySelector("details[open]")) return true;
  const fields = part.querySelectorAll("input:not([type=hidden]), textarea");
  return [...fields].some((field) => field.value !== field.defaultValue);
}

let isAsking = false;
let isAskedAgain = false;
async function refresh() {
  if (isAsking) { isAskedAgain = true; return; }
  isAsking = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected && new URL(answer.url).pathname !== location.pathname) { location.assign(answer.url); return; }
    // A page that could not be shown can be shown now.
    if (answer.ok && document.getElementById("not-yet")) { location.reload(); return; }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(part.id);
      if (!next || isInUse(part) || next.outerHTML === part.dataset.seen) continue;
      next.dataset.seen = next.outerHTML;
      part.replaceWith(next);
      dress(next);
    }
  } finally {
    isAsking = false;
    if (isAskedAgain) { isAskedAgain = false; setTimeout(refresh, 500); }
  }
}

function listen(address) {
  const lost = document.getElementById("stream-lost");
  let heardAt = Date.now();
  let source = null;
  let openedAt = 0;
  const heard = () => { heardAt = Date.now(); lost.hidden = true; };
  const open = () => {
    openedAt = Date.now();
    source = new EventSource(address);
    source.addEventListener("open", heard);
    source.addEventListener("heartbeat", heard);
    source.addEventListener("changed", () => { heard(); if (!document.hidden) refresh().catch(() => {}); });
    source.addEventListener("error", () => { lost.hidden = false; });
  };
  open();
  setInterval(() => {
    countDown(document);
    if (Date.now() - heardAt > SILENCE_MS) lost.hidden = false;
    if (source.readyState === EventSource.CLOSED && Date.now() - openedAt > REOPEN_MS) open();
  }, 1000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh().catch(() => {}); });
}

dress(document);
const main = document.querySelector("[data-live-page]");
if (main) listen(main.dataset.livePage);
