"use strict";
// What pages do beyond links and forms: completion of tags, and keys for reviewing them. All works without, too.

(() => {
  const wait = 120; // ms without a key before a completion is asked for

  // The part of a text that the caret is in: a tag of a query, of a list with commas, or the whole of it.
  function partAt(text, caret, kind) {
    const before = text.slice(0, caret);
    if (kind === "tag") return { start: 0, end: text.length, prefix: text.trim() };
    if (kind === "list") {
      const start = before.lastIndexOf(",") + 1;
      const comma = text.indexOf(",", caret);
      return { start, end: comma < 0 ? text.length : comma, prefix: before.slice(start).trim() };
    }
    let start = 0, quoted = false;
    for (let i = 0; i < before.length; i++) {
      if (quoted) {
        if (before[i] === "\\") i++;
        else if (before[i] === '"') { quoted = false; start = i + 1; }
      } else if (before[i] === '"') { quoted = true; start = i; }
      else if (/[\s&|!()]/.test(before[i])) start = i + 1;
    }
    const rest = quoted ? /^[^"]*"?/.exec(text.slice(caret)) : /^[^\s&|!()]*/.exec(text.slice(caret));
    const prefix = before.slice(start).replace(/^"/, "");
    return { start, end: caret + rest[0].length, prefix: prefix.includes(":") && !quoted ? "" : prefix };
  }

  function completes(input) {
    const kind = input.dataset.complete;
    const list = document.createElement("ul");
    list.className = "completions";
    list.id = `${input.id}-completions`;
    list.setAttribute("role", "listbox");
    list.setAttribute("aria-label", "Tags");
    list.hidden = true;
    const around = input.closest(".box") || document.createElement("span");
    if (!input.closest(".box")) {
      around.className = "completes";
      input.replaceWith(around);
      around.append(input);
    }
    around.append(list);
    input.setAttribute("role", "combobox");
    input.setAttribute("aria-autocomplete", "list");
    input.setAttribute("aria-expanded", "false");
    input.setAttribute("aria-controls", list.id);
    let timer = 0, asked = null, found = [], chosen = -1;

    function close() {
      clearTimeout(timer);
      asked?.abort();
      list.hidden = true;
      chosen = -1;
      input.setAttribute("aria-expanded", "false");
      input.removeAttribute("aria-activedescendant");
    }
    function mark(index) {
      chosen = (index + found.length) % found.length;
      [...list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === chosen)));
      input.setAttribute("aria-activedescendant", list.children[chosen].id);
    }
    function take(index) {
      const part = partAt(input.value, input.selectionStart, kind);
      const text = kind === "query" ? found[index].word : found[index].name;
      const lead = kind === "list" && part.start > 0 ? " " : "";
      input.setRangeText(lead + text, part.start, part.end, "end");
      close();
      input.dispatchEvent(new Event("input", { bubbles: true }));
      close();
    }
    async function ask() {
      const { prefix } = partAt(input.value, input.selectionStart, kind);
      asked?.abort();
      if (!prefix) return close();
      asked = new AbortController();
      try {
        const answer = await fetch(`/suggest?prefix=${encodeURIComponent(prefix)}`, { signal: asked.signal });
        if (!answer.ok) return close();
        found = await answer.json();
      } catch { return; } // another key came meanwhile, or the server is away
      if (document.activeElement !== input) return;
      if (!found.length || (found.length === 1 && found[0].name === prefix)) return close();
      list.replaceChildren(...found.map((each, i) => {
        const item = document.createElement("li");
        item.id = `${list.id}-${i}`;
        item.setAttribute("role", "option");
        item.setAttribute("aria-selected", "false");
        const name = document.createElement("span"), count = document.createElement("span");
        name.textContent = each.alias ? `${each.name} (${each.alias})` : each.name;
        count.textContent = each.count.toLocaleString("en");
        count.className = "count";
        item.append(name, count);
        item.addEventListener("mousedown", (event) => { event.preventDefault(); take(i); });
        return item;
      }));
      chosen = -1;
      list.hidden = false;
      input.setAttribute("aria-expanded", "true");
    }
    input.addEventListener("input", (event) => {
      if (!event.isTrusted) return; // our own, of a tag that was taken
      clearTimeout(timer);
      timer = setTimeout(ask, wait);
    });
    input.addEventListener("blur", close);
    input.addEventListener("keydown", (event) => {
      if (list.hidden) {
        if (event.key === "ArrowDown" && input.value) { event.preventDefault(); ask(); }
        return;
      }
      if (event.key === "ArrowDown") { event.preventDefault(); mark(chosen + 1); }
      else if (event.key === "ArrowUp") { event.preventDefault(); mark(chosen < 0 ? found.length - 1 : chosen - 1); }
      else if (event.key === "Escape") { event.preventDefault(); close(); }
      else if ((event.key === "Enter" || event.key === "Tab") && chosen >= 0) { event.preventDefault(); take(chosen); }
      else if (event.key === "Enter") close();
    });
  }

  // What follows a grid or a list is asked for before its end comes into view.
  const ends = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      ends.unobserve(target);
      htmx.trigger(target, "near");
    }
  }, { rootMargin: "900px" });

  function begin(root) {
    root.querySelectorAll("input[data-complete]:not([role=combobox])").forEach(completes);
    root.querySelectorAll(".following [hx-get]:not([data-waits])").forEach((link) => ends.observe(link));
  }

  // Where what follows does not come, its place says why, and it is asked for again.
  function later(link, why, seconds) {
    const said = link.parentElement.querySelector("p") || document.createElement("p");
    said.className = "soft";
    said.setAttribute("role", "status");
    said.textContent = `${why} Once more in ${seconds} s.`;
    link.after(said);
    link.dataset.waits = "";
    setTimeout(() => {
      said.remove();
      delete link.dataset.waits;
      ends.observe(link);
    }, seconds * 1000);
  }
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, requestConfig } = event.detail, link = requestConfig.elt;
    if (!event.detail.isError || !link.matches(".following [hx-get]") || xhr.status === 401) return;
    event.detail.shouldSwap = false;
    const said = new DOMParser().parseFromString(xhr.response, "text/html").querySelector("strong");
    later(link, said?.textContent || "That did not work.", Number(xhr.getResponseHeader("Retry-After")) || 5);
  });

  function alarm(text) {
    const notice = document.createElement("div");
    notice.className = "notice error";
    notice.setAttribute("role", "alert");
    notice.textContent = text;
    document.getElementById("notices")?.replaceChildren(notice);
  }
  // After signing in anew in another tab this page's forms are those of the session before: they become the new one's,
  // if it is the same person's.
  document.addEventListener("htmx:responseError", async ({ detail: { xhr } }) => {
    if (xhr.status !== 403 || xhr.getResponseHeader("X-Form-Token") !== "stale") return;
    const answer = await fetch("/session", { headers: { "HX-Request": "true" } });
    if (!answer.ok) return;
    const { username, form_token: token } = await answer.json();
    if (username !== document.body.dataset.username) return;
    for (const input of document.querySelectorAll("[name=form_token]")) input.value = token;
    for (const form of document.querySelectorAll("form[hx-headers]"))
      form.setAttribute("hx-headers", JSON.stringify({ "X-Form-Token": token }));
    alarm("You have signed in anew since this page was loaded. Nothing was done yet: once more, please.");
  });

  // Reviewing: up and down go from tag to tag, one key says what is to be said.
  const actions = { y: ".yes", n: ".no", u: ".undo" };
  function lines() { return [...document.querySelectorAll("#tags .tag")].filter((line) => line.checkVisibility()); }
  function nameOf(line) { return line?.querySelector(".name").textContent; }
  document.addEventListener("keydown", (event) => {
    const at = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(at.tagName)) return;
    if (!document.getElementById("tags")) return;
    // Letters count only where one is at work with the tags: elsewhere they are other programs' (WCAG 2.1.4).
    const all = lines(), now = all.indexOf(at.closest(".tag")), here = at.closest(".photo .about") !== null;
    if (here && event.key === "a" && document.getElementById("add-tag")) {
      event.preventDefault();
      document.getElementById("add-tag").focus();
    } else if (here && event.key === "w") document.querySelector("[data-key=w]")?.click();
    else if (all.length && (event.key === "ArrowDown" || event.key === "ArrowUp") && (now >= 0 || at === document.body || at.id === "main")) {
      event.preventDefault();
      const next = now < 0 ? 0 : (now + (event.key === "ArrowDown" ? 1 : all.length - 1)) % all.length;
      (all[next].querySelector("button") || all[next].querySelector("a")).focus();
    } else if (now >= 0 && actions[event.key]) {
      const button = all[now].querySelector(actions[event.key]);
      if (button) { event.preventDefault(); button.click(); }
    }
  });
  // The list is made anew when something was said: go on at the same tag, or where it was.
  let place = -1, name = "";
  document.addEventListener("click", (event) => {
    const line = event.target.closest?.("#tags .tag");
    if (line && event.target.closest("button")) [place, name] = [lines().indexOf(line), nameOf(line)];
  });
  document.addEventListener("htmx:afterSettle", (event) => {
    begin(document);
    if (event.target.id === "tags" && place >= 0) {
      const all = lines();
      const line = all.find((each) => nameOf(each) === name) || all[Math.min(place, all.length - 1)];
      (line?.querySelector("button") || line?.querySelector("a"))?.focus();
      place = -1;
    } else if (event.target.id === "tags" && event.detail.requestConfig?.elt.matches(".add")) {
      document.getElementById("add-tag")?.focus();
    }
    const spoken = event.target.querySelector?.("[data-spoken]"), speaker = document.getElementById("spoken");
    if (spoken && speaker) speaker.textContent = spoken.textContent;
  });
  // A notice is about what was done last: the next thing done takes it away, but not a page that looks how far it is.
  document.addEventListener("htmx:beforeRequest", (event) => {
    if (event.target.dataset.unasked === undefined) document.getElementById("notices")?.replaceChildren();
  });
  document.addEventListener("htmx:sendError", ({ target }) => {
    if (target.matches(".following [hx-get]")) later(target, "These pages cannot be reached.", 5);
    else alarm("These pages cannot be reached. Try again in a moment.");
  });
  document.addEventListener("DOMContentLoaded", () => {
    document.documentElement.classList.add("scripted");
    begin(document);
  });
})();
