"use strict";
// Uploads photos one by one, a few at a time: preview, progress, then what the server found. A session that ends in
// between, a server that is busy or away: the photos wait, nothing is sent twice and nothing is lost. A form with
// data-brief shows a line a photo, the last ones only, and all failures: some ten thousand photos do not slow it down.

(() => {
  const AT_ONCE = 3, PREVIEWS = 60, TRIES = 8, LINES = 30, FAILURES = 500, TELL_MS = 200;
  const QUIET_MS = 60000, LOOK_MS = 180000; // without a byte sent; without an answer once all of them are
  const REST_S = 30; // at most, before what could not be reached is tried again
  const number = (value) => value.toLocaleString("en");
  const made = (tag, className, text = "") => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.textContent = text;
    return element;
  };

  const mib = (bytes) => (bytes / 1048576).toLocaleString("en", { maximumFractionDigits: 1 });

  class Uploads {
    constructor(form) {
      this.form = form;
      this.brief = form.dataset.brief === "1"; // a line a photo in place of a card
      this.list = document.getElementById("uploaded");
      this.state = document.getElementById("upload-state");
      this.failures = document.getElementById("failures"); // of a brief form
      this.token = form.elements.form_token.value;
      this.waiting = [];
      this.failed = [];
      this.counts = { all: 0, kept: 0, existing: 0, failed: 0, underWay: 0, passedOver: 0 };
      this.held = false; // until somebody has signed in again
      this.stranger = ""; // who has signed in meanwhile, if it is somebody else
      this.resting = 0; // all photos wait: the server, or the way to it, has no time for any
      this.rests = 0; // one after the other
      this.why = "";
      this.previews = 0; // on the screen
      this.telling = 0;
      this.began = null; // when, and with how many done
      this.parts = this.shown();
      window.addEventListener("beforeunload", (event) => {
        if (this.busy) event.preventDefault();
      });
    }
    get busy() { return this.waiting.length > 0 || this.counts.underWay > 0; }

    // What is said of the photos that are added now; later ones may be given something else.
    options() {
      const fields = "[name=tags], [name=author], [name=shared]:checked, [name=embedded]:checked";
      return [...this.form.querySelectorAll(fields)].map((field) => [field.name, field.value]);
    }
    add(files) {
      const options = this.options();
      for (const file of files) {
        const path = file.path || file.webkitRelativePath || file.name;
        if (this.form.dataset.suffixes && (!/\.(jpe?g|png|webp)$/i.test(path) || /(^|\/)(\.|__MACOSX\/)/.test(path))) {
          this.counts.passedOver++;
          continue;
        }
        const one = { file: file.file || file, path, options, item: null, tries: 0 };
        this.counts.all++;
        if (!this.brief) this.list.prepend(this.itemOf(one));
        this.waiting.push(one);
      }
      this.go();
    }
    itemOf(one) {
      one.item = document.createElement("li");
      one.item.append(...(this.brief ? [made("span", "name", one.path), made("p", "soft", "waiting")] : [this.preview(one.file)]));
      return one.item;
    }
    preview(file) {
      const card = made("article", "card result"), box = document.createElement("div"), bar = document.createElement("progress");
      bar.max = 1;
      bar.value = 0;
      bar.setAttribute("aria-label", `Sending ${file.name}`);
      box.append(made("h2", "", file.name), bar, made("p", "soft", "waiting"));
      if (this.previews < PREVIEWS) {
        this.previews++;
        const picture = document.createElement("img");
        picture.alt = "";
        picture.src = URL.createObjectURL(file);
        for (const end of ["load", "error"])
          picture.addEventListener(end, () => URL.revokeObjectURL(picture.src), { once: true });
        card.append(picture);
      }
      card.append(box);
      return card;
    }
    go() {
      while (!this.held && !this.resting && this.waiting.length && this.counts.underWay < AT_ONCE) this.send(this.waiting.shift());
      this.tell();
    }
    send(one) {
      this.counts.underWay++;
      if (this.brief && !one.item?.isConnected) {
        this.list.prepend(this.itemOf(one));
        while (this.list.childElementCount > LINES) this.list.lastElementChild.remove();
      }
      const most = Number(this.form.dataset.mostBytes);
      if (one.file.size > most) return this.fail(one, `It has ${mib(one.file.size)} MiB; at most ${mib(most)} are taken.`);
      const data = new FormData();
      for (const [name, value] of one.options) data.append(name, value);
      if (this.brief) data.append("brief", "1");
      data.append("photo", one.file, one.file.name);
      const request = new XMLHttpRequest(), bar = one.item.querySelector("progress"), words = one.item.querySelector("p");
      let quiet = 0;
      const within = (ms) => { clearTimeout(quiet); quiet = setTimeout(() => request.abort(), ms); };
      request.open("POST", this.form.dataset.upload);
      request.setRequestHeader("X-Form-Token", this.token);
      request.upload.addEventListener("progress", (event) => {
        within(QUIET_MS);
        if (bar && event.lengthComputable) bar.value = event.loaded / event.total;
        if (words) words.textContent = "being sent";
      });
      request.upload.addEventListener("load", () => {
        within(LOOK_MS);
        bar?.removeAttribute("value"); // how long looking takes is not known
        if (words) words.textContent = "being looked at";
      });
      request.addEventListener("load", () => this.answered(one, request));
      request.addEventListener("error", () => this.broken(one, "The pages cannot be reached."));
      request.addEventListener("abort", () => this.broken(one, "That took too long."));
      request.addEventListener("loadend", () => clearTimeout(quiet));
      within(QUIET_MS);
      request.send(data);
    }
    async answered(one, request) {
      const { status } = request;
      if (status === 200) {
        this.rests = 0;
        this.counts.underWay--;
        this.counts.kept++;
        this.put(one.item, request.response);
        if (one.item.querySelector("[data-existing]")) this.counts.existing++;
        this.go();
      } else if (status === 401) {
        this.counts.underWay--;
        this.hold(one);
      } else if (status === 403 && request.getResponseHeader("X-Form-Token") === "stale") {
        const renewed = one.tries++ < 2 && (await this.renew());
        this.counts.underWay--;
        if (!renewed) return this.hold(one);
        this.waiting.unshift(one);
        this.go();
      } else if (status === 429 || status === 503 || (status === 504 && ++one.tries <= TRIES)) {
        this.rest(one, this.words(request.response), Number(request.getResponseHeader("Retry-After")));
      } else this.fail(one, this.words(request.response) || `The answer was ${status}.`);
    }
    // The form's token is bound to the session: after signing in anew there is another one. Somebody else's will not do.
    async renew() {
      try {
        const answer = await fetch("/session", { headers: { "HX-Request": "true" } });
        if (!answer.ok) return false;
        const { username, form_token: token } = await answer.json();
        this.stranger = username === this.form.dataset.username ? "" : username;
        if (this.stranger) return false;
        this.token = token;
        return true;
      } catch { return false; }
    }
    // A connection that broke counts against the photo only where the pages are there for others.
    async broken(one, why) {
      const there = await fetch("/session", { headers: { "HX-Request": "true" } }).then(() => true, () => false);
      if (there && ++one.tries > TRIES) this.fail(one, why);
      else this.rest(one, why, 0);
    }
    // All photos wait, and none is given up: as long as the server asks, else longer each time.
    rest(one, why, seconds) {
      this.counts.underWay--;
      this.wait(one);
      if (!this.resting) {
        const rest = seconds || Math.min(2 ** ++this.rests, REST_S);
        this.why = `${why} Once more in ${rest} s.`;
        this.resting = setTimeout(() => { this.resting = 0; this.why = ""; this.go(); }, rest * 1000);
      }
      this.tell();
    }
    fail(one, why) {
      this.gone(one.item);
      this.counts.underWay--;
      this.counts.failed++;
      this.failed.push(one);
      if (this.brief) {
        one.item.remove();
        this.tellFailure(one.path, why);
      } else {
        const failed = made("div", "failed");
        failed.append(made("h2", "", one.file.name), made("p", "error", why));
        one.item.replaceChildren(failed);
      }
      this.go();
    }
    tellFailure(path, why) {
      if (this.failed.length > FAILURES) return; // the heading counts them
      const lines = this.failures.querySelector("ul") || document.createElement("ul");
      if (!lines.isConnected) this.failures.replaceChildren(made("h2"), lines);
      const line = document.createElement("li");
      line.append(made("strong", "name", path), " ", made("span", "", why));
      lines.append(line);
    }
    hold(one) {
      this.held = true;
      this.wait(one);
      this.tell();
    }
    wait(one) {
      this.waiting.unshift(one);
      const words = one.item.querySelector("p");
      if (words) words.textContent = "waiting";
      const bar = one.item.querySelector("progress");
      if (bar) bar.value = 0;
    }
    async resume() {
      if (!(await this.renew())) return this.tell();
      this.held = false;
      for (const one of this.waiting) one.tries = 0;
      this.go();
    }
    retry() {
      this.counts.failed -= this.failed.length;
      if (this.brief) this.failures.replaceChildren();
      for (const one of this.failed.splice(0)) {
        one.tries = 0;
        if (!this.brief) one.item.replaceChildren(this.preview(one.file));
        this.waiting.push(one);
      }
      this.go();
    }
    gone(item) {
      if (item.querySelector("img[src^='blob:']")) this.previews--;
    }
    put(item, html) {
      this.gone(item);
      const parsed = new DOMParser().parseFromString(html, "text/html"); // runs no script, and the policy allows none
      item.replaceChildren(...parsed.body.childNodes);
    }
    words(html) {
      return new DOMParser().parseFromString(html, "text/html").body.textContent.trim();
    }
    // What stands above the photos is made once: whoever is about to press a button there still can.
    shown() {
      const said = made("p", "said"), bar = document.createElement("progress"), loud = made("p", "hidden");
      const notice = made("div", "notice error"), link = made("a", "", "Sign in again in another tab");
      const goOn = made("button", "", "Go on"), why = made("span"), again = made("button", "", "Try those that failed again");
      bar.setAttribute("aria-label", "Photos that are done");
      loud.setAttribute("role", "status");
      notice.setAttribute("role", "alert");
      link.href = "/sign-in";
      link.target = "_blank";
      goOn.type = again.type = "button";
      goOn.addEventListener("click", () => this.resume());
      again.addEventListener("click", () => this.retry());
      return { said, bar, loud, notice, why, link, goOn, again };
    }
    tell() {
      this.telling ||= setTimeout(() => { this.telling = 0; this.tellNow(); }, TELL_MS);
    }
    tellNow() {
      const { all, kept, existing, failed, passedOver } = this.counts, parts = this.parts;
      if (!all && !passedOver) return;
      if (!parts.said.isConnected) this.state.replaceChildren(parts.said, parts.bar, parts.loud);
      const ended = !this.busy && !this.held, done = kept + failed;
      if (ended || this.held) this.began = null; // the pace is that of the photos since it went on
      const words = [`${number(kept)} of ${number(all)} kept`];
      if (this.brief && existing) words.push(`${number(existing)} of them were there already`);
      if (failed) words.push(`${number(failed)} failed`);
      if (passedOver) words.push(`${number(passedOver)} other file${passedOver === 1 ? "" : "s"} passed over`);
      parts.said.textContent = `${words.join(", ")}${ended ? ". Done." : this.held ? "" : this.why ? `. ${this.why}` : this.pace(done, all)}`;
      parts.bar.max = all || 1;
      parts.bar.value = done;
      const loud = ended ? parts.said.textContent : this.why || parts.loud.textContent;
      if (parts.loud.textContent !== loud) parts.loud.textContent = loud;
      if (this.held && !parts.notice.isConnected) {
        parts.notice.replaceChildren(parts.why, parts.link, ", then ", parts.goOn);
        parts.bar.after(parts.notice);
      } else if (!this.held) parts.notice.remove();
      if (failed && !this.busy) this.state.append(parts.again);
      else parts.again.remove();
      const why = this.stranger
        ? `You are signed in as ${this.stranger} now. The photos that are left are ${this.form.dataset.username}'s and wait here. `
        : "Your session has ended. The photos that are left wait here. ";
      if (parts.why.textContent !== why) parts.why.textContent = why;
      const heading = this.failures?.querySelector("h2");
      if (heading) heading.textContent = `${number(failed)} failed${failed > FAILURES ? `, the first ${number(FAILURES)} of them` : ""}`;
    }
    pace(done, all) {
      if (!this.brief) return "";
      const now = performance.now();
      this.began ||= { now, done };
      const rate = (done - this.began.done) / Math.max((now - this.began.now) / 1000, 0.1);
      if (!rate) return "";
      const left = Math.ceil((all - done) / rate);
      return `; ${rate.toLocaleString("en", { maximumFractionDigits: 1 })} a second, ${left < 90 ? `${left} s` : `${number(Math.ceil(left / 60))} min`} left`;
    }
  }

  // Folders that are dropped, with all below them: the browser gives some of a folder's files at a time.
  async function filesOf(entries) {
    const files = [], left = entries.filter(Boolean);
    while (left.length) {
      const entry = left.shift();
      if (entry.isFile) {
        const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
        if (file) files.push({ file, path: entry.fullPath.replace(/^\//, "") });
      } else {
        const reader = entry.createReader();
        for (let some; (some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])))).length;) left.push(...some);
      }
    }
    return files;
  }

  document.addEventListener("DOMContentLoaded", () => {
    const form = document.querySelector("form[data-upload]");
    if (!form) return;
    const uploads = new Uploads(form), drop = document.getElementById("drop");
    for (const input of form.querySelectorAll("input[type=file]"))
      input.addEventListener("change", () => { uploads.add(input.files); input.value = ""; });
    const camera = document.getElementById("camera");
    if (camera && window.matchMedia("(pointer: coarse)").matches) {
      camera.disabled = camera.hidden = false;
      form.querySelector("label[for=camera]").hidden = false;
    }
    form.addEventListener("submit", (event) => event.preventDefault());
    const elsewhere = (event) => event.target.closest?.("input[type=file]") && !form.contains(event.target);
    const over = (event, yes) => {
      if (elsewhere(event)) return;
      event.preventDefault();
      drop.classList.toggle("over", yes);
    };
    for (const kind of ["dragenter", "dragover"]) document.addEventListener(kind, (event) => over(event, true));
    for (const kind of ["dragleave", "drop"]) document.addEventListener(kind, (event) => over(event, false));
    document.addEventListener("drop", async (event) => {
      if (elsewhere(event)) return;
      const { items, files } = event.dataTransfer;
      const entries = [...items].map((item) => item.webkitGetAsEntry?.());
      if (uploads.brief || entries.some((entry) => entry?.isDirectory)) uploads.add(await filesOf(entries));
      else uploads.add([...files]);
    });
  });
})();
