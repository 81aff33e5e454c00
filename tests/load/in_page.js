"use strict";
// What the bench runs in each page, before the page's own scripts: it looks at the browser's own clock, milliseconds
// since the navigation began. "Shown" is the moment after a frame with it has been drawn.

globalThis.bench = (() => {
  const PATIENCE_MS = 60000, QUIET_MS = 300;
  const loaded = new WeakMap(); // photos, and when they were there
  document.addEventListener("load", (event) => loaded.set(event.target, performance.now()), true);

  let heard = performance.now(); // when something last came
  new PerformanceObserver(() => { heard = performance.now(); }).observe({ type: "resource" });

  const painted = new Promise((done) => { // told a moment after it happened
    const look = (paints) => paints.getEntriesByName("first-contentful-paint").forEach((one) => done(one.startTime));
    new PerformanceObserver(look).observe({ type: "paint", buffered: true });
  });

  function drawn() {
    return new Promise((done) => requestAnimationFrame(() => {
      const channel = new MessageChannel();
      channel.port1.onmessage = () => done(performance.now());
      channel.port2.postMessage(0);
    }));
  }

  // What `find` finds, as soon as a change of the page brings it.
  function change(find, what) {
    return new Promise((done, failed) => {
      const end = (settle, value) => { clearTimeout(timer); observer.disconnect(); settle(value); };
      const timer = setTimeout(() => end(failed, new Error(`it did not come: ${what}`)), PATIENCE_MS);
      const look = () => {
        try {
          const found = find();
          if (found) end(done, found);
        } catch (error) { end(failed, error); }
      };
      const observer = new MutationObserver(look);
      observer.observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["hidden"] });
      look();
    });
  }

  function inView(element) {
    const at = element.getBoundingClientRect();
    return at.width > 0 && at.height > 0 && at.top < innerHeight && at.bottom > 0;
  }

  // When the last photo that is in view was there; photos that the browser kept are as good. Cells are asked, not their
  // photos: where one outside of the window is asked the browser has to lay out what it leaves out.
  async function photosShown() {
    const seen = [...document.querySelectorAll(".grid .cell")].filter(inView).map((cell) => cell.querySelector("img"));
    await Promise.all(seen.map((photo) => photo.complete || new Promise((done) => {
      photo.addEventListener("load", done, { once: true });
      photo.addEventListener("error", done, { once: true });
    })));
    const broken = seen.filter((photo) => !photo.naturalWidth).length;
    if (broken) throw new Error(`${broken} of ${seen.length} thumbnails did not load`);
    return { photos: seen.length, photos_ms: Math.max(0, ...seen.map((photo) => loaded.get(photo) ?? 0)) };
  }

  function requested(path) {
    const asked = performance.getEntriesByType("resource").filter((entry) => new URL(entry.name).pathname === path);
    const last = asked[asked.length - 1];
    if (!last) throw new Error(`nothing was asked of ${path}`);
    return { asked_ms: last.startTime, answered_ms: last.responseEnd };
  }

  // When the browser says that the next event of a kind happened.
  function next(kind) {
    const event = { at_ms: null };
    addEventListener(kind, (happened) => { event.at_ms = happened.timeStamp; }, { capture: true, once: true });
    return event;
  }

  const awaited = {
    async drop() {
      const dropped = next("drop"), old = new Set(document.querySelectorAll("#uploaded [data-id]"));
      const card = await change(() => {
        const failed = document.querySelector("#uploaded .failed");
        if (failed) throw new Error(`the photo was refused: ${failed.textContent.trim()}`);
        return [...document.querySelectorAll("#uploaded [data-id]")].find((one) => !old.has(one));
      }, "the card of a photo");
      const shown_ms = await drawn(), tags = card.querySelectorAll(".tags .tag, .judged .name");
      return { id: card.dataset.id, began_ms: dropped.at_ms, shown_ms, ...requested("/upload/photo"),
        tags: tags.length, tags_in_view: [...tags].filter(inView).length };
    },
    async results() {
      const typed = next("keydown"), results = document.getElementById("results"), old = results.firstElementChild;
      await change(() => typed.at_ms !== null && results.firstElementChild !== old, "results");
      const shown_ms = await drawn(), { photos, photos_ms } = await photosShown();
      return { began_ms: typed.at_ms, shown_ms, ...requested("/search"),
        photos, photos_ms: Math.max(shown_ms, photos_ms) };
    },
    async completions() {
      const typed = next("keydown"), list = document.getElementById("q-completions");
      if (!list.hidden) throw new Error("completions are there before anything was typed");
      await change(() => !list.hidden, "completions");
      const shown_ms = await drawn();
      return { began_ms: typed.at_ms, shown_ms, ...requested("/suggest"), completions: list.childElementCount };
    },
  };
  let waiting = null, frames = null, tasks = [];
  const hear = (slowTasks) => tasks.push(...slowTasks.map((task) => task.duration));
  const slow = new PerformanceObserver((heardOf) => hear(heardOf.getEntries()));

  return {
    // Begin to wait; what is waited for happens afterwards, and `done` gives what was seen.
    wait(what) {
      performance.clearResourceTimings(); // it holds 250, and thumbnails are many
      waiting = awaited[what]();
      waiting.catch(() => {}); // `done` tells
    },
    done: () => waiting,

    // How the page itself came, once all photos in view are there.
    async arrived() {
      const { photos, photos_ms } = await photosShown();
      const [page] = performance.getEntriesByType("navigation");
      return { painted_ms: await painted, photos, photos_ms,
        ready_ms: page.domContentLoadedEventEnd, load_ms: page.loadEventEnd };
    },

    // Until nothing has come for a while, and nothing is awaited.
    async quiet() {
      heard = performance.now();
      while (performance.now() - heard < QUIET_MS || document.querySelector(".htmx-request"))
        await new Promise((done) => setTimeout(done, 50));
      await photosShown();
    },

    watchFrames() {
      const mine = frames = [];
      tasks = [];
      slow.observe({ type: "longtask" });
      const note = (at) => {
        if (frames !== mine) return;
        mine.push(at);
        requestAnimationFrame(note);
      };
      requestAnimationFrame(note);
    },
    frames() {
      hear(slow.takeRecords());
      slow.disconnect();
      const seen = { frames_ms: frames, tasks_ms: tasks };
      frames = null;
      return seen;
    },
    // How long it takes from now until the photos in view are there.
    async settled() {
      const began = performance.now();
      await photosShown();
      return performance.now() - began;
    },
    // How far one has scrolled: photos that are there, whether so many have been in view, whether the grid ends here.
    scrolled(wanted) {
      const cells = document.getElementsByClassName("cell"), last = cells[Math.min(wanted, cells.length) - 1];
      const passed = last.getBoundingClientRect().top < innerHeight;
      return { photos: cells.length, passed: passed && cells.length >= wanted,
        ended: passed && !document.querySelector(".grid .following") };
    },
  };
})();
