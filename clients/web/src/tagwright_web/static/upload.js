"use strict";
// Uploads photos one by one, a few at a time: preview, progress, then what the server found. A session that ends in
// between, a server that is busy or away: the photos wait, nothing is sent twice and nothing is lost.

(() => {
  const AT_ONCE = 3, PREVIEWS = 60, TRIES = 8;

  class Uploads {
    constructor(form) {
      this.form = form;
      this.brief = form.dataset.brief === "1"; // a line a photo in place of a card
      this.list = document.getElementById("uploaded");
      this.state = document.getElementById("upload-state");
      this.token = form.elements.form_token.value;
      this.waiting = [];
      this.failed = [];
      this.counts = { all: 0, kept: 0, failed: 0, underWay: 0 };
      this.held = false; // until somebody has signed in again
      window.addEventListener("beforeunload", (event) => {
        if (this.busy) event.preventDefault();
      });
    }
    get busy() { return this.waiting.length > 0 || this.counts.underWay > 0; }

    add(files) {
      for (const file of files) {
        if (this.form.dataset.suffixes && !/\.(jpe?g|png|webp)$/i.test(file.name)) continue;
        const item = document.createElement("li");
        item.append(this.preview(file));
        this.counts.all++;
        this.waiting.push({ file, item, tries: 0 });
        if (!this.brief) this.list.prepend(item);
      }
      this.tell();
      this.go();
    }
    preview(file) {
      const card = document.createElement("article");
      card.className = "card result";
      const box = document.createElement("div"), name = document.createElement("h2"), bar = document.createElement("progress");
      const words = document.createElement("p");
      name.textContent = file.name;
      words.className = "soft";
      words.textContent = "waiting";
      bar.max = 1;
      bar.value = 0;
      bar.setAttribute("aria-label", `Sending ${file.name}`);
      box.append(name, bar, words);
      if (!this.brief && this.counts.all < PREVIEWS) {
        const picture = document.createElement("img");
        picture.alt = "";
        picture.src = URL.createObjectURL(file);
        picture.addEventListener("load", () => URL.revokeObjectURL(picture.src), { once: true });
        card.append(picture);
      }
      card.append(box);
      return card;
    }
    go() {
      while (!this.held && this.waiting.length && this.counts.underWay < AT_ONCE) this.send(this.waiting.shift());
      this.tell();
    }
    send(one) {
      this.counts.underWay++;
      if (this.brief && !one.item.isConnected) this.list.prepend(one.item);
      const data = new FormData();
      for (const field of this.form.querySelectorAll("[data-send], [name=tags], [name=author], [name=shared]:checked, [name=embedded]:checked"))
        data.append(field.name, field.value);
      if (this.brief) data.append("brief", "1");
      data.append("photo", one.file, one.file.name);
      const request = new XMLHttpRequest(), bar = one.item.querySelector("progress"), words = one.item.querySelector("p");
      request.open("POST", this.form.dataset.upload);
      request.setRequestHeader("X-Form-Token", this.token);
      request.upload.addEventListener("progress", (event) => {
        if (bar && event.lengthComputable) bar.value = event.loaded / event.total;
        if (words) words.textContent = "being sent";
      });
      request.upload.addEventListener("load", () => {
        bar?.removeAttribute("value"); // how long looking takes is not known
        if (words) words.textContent = "being looked at";
      });
      request.addEventListener("load", () => this.answered(one, request));
      request.addEventListener("error", () => this.later(one, 3, "The pages cannot be reached."));
      request.addEventListener("timeout", () => this.later(one, 3, "That took too long."));
      request.timeout = 180000;
      request.send(data);
    }
    async answered(one, request) {
      const { status } = request;
      if (status === 200) {
        this.counts.underWay--;
        this.counts.kept++;
        this.put(one.item, request.response);
        this.go();
      } else if (status === 401 || (status === 403 && !(await this.renewed(one)))) {
        this.counts.underWay--;
        this.hold(one, request.response);
      } else if (status === 403 && one.tries <= 2) {
        this.counts.underWay--;
        this.waiting.unshift(one);
        this.go();
      } else if (status === 429 || status === 503 || status === 504) {
        this.later(one, Number(request.getResponseHeader("Retry-After")) || 2, this.words(request.response));
      } else this.fail(one, this.words(request.response) || `The answer was ${status}.`);
    }
    // The form's token is bound to the session: after signing in anew there is another one.
    async renewed(one) {
      one.tries++;
      try {
        const answer = await fetch("/session", { headers: { "HX-Request": "true" } });
        if (!answer.ok) return false;
        this.token = (await answer.json()).form_token;
        return one.tries <= 2;
      } catch { return false; }
    }
    later(one, seconds, why) {
      this.counts.underWay--;
      one.tries++;
      if (one.tries > TRIES) {
        this.counts.underWay++;
        return this.fail(one, why);
      }
      const words = one.item.querySelector("p");
      if (words) words.textContent = `${why} Once more in ${seconds} s.`;
      this.counts.underWay++; // its place is kept: the server asked for less, not for the next one
      setTimeout(() => { this.counts.underWay--; this.waiting.unshift(one); this.go(); }, seconds * 1000);
      this.tell();
    }
    fail(one, why) {
      this.counts.underWay--;
      this.counts.failed++;
      this.failed.push(one);
      const failed = document.createElement("div");
      failed.className = "failed";
      const name = document.createElement("h2"), words = document.createElement("p");
      name.textContent = one.file.name;
      words.className = "error";
      words.textContent = why;
      failed.append(name, words);
      one.item.replaceChildren(failed);
      this.go();
    }
    hold(one) {
      this.waiting.unshift(one);
      this.held = true;
      const words = one.item.querySelector("p");
      if (words) words.textContent = "waiting";
      const bar = one.item.querySelector("progress");
      if (bar) bar.value = 0;
      this.tell();
    }
    async resume() {
      try {
        const answer = await fetch("/session", { headers: { "HX-Request": "true" } });
        if (!answer.ok) return;
        this.token = (await answer.json()).form_token;
      } catch { return; }
      this.held = false;
      this.go();
    }
    retry() {
      this.counts.failed -= this.failed.length;
      for (const one of this.failed.splice(0)) {
        one.tries = 0;
        one.item.replaceChildren(this.preview(one.file));
        this.waiting.push(one);
      }
      this.go();
    }
    put(item, html) {
      const made = new DOMParser().parseFromString(html, "text/html"); // runs no script, and the policy allows none
      item.replaceChildren(...made.body.childNodes);
      if (this.brief) while (this.list.childElementCount > 200) this.list.lastElementChild.remove();
    }
    words(html) {
      return new DOMParser().parseFromString(html, "text/html").body.textContent.trim();
    }
    tell() {
      const { all, kept, failed } = this.counts;
      const parts = [];
      const said = document.createElement("p");
      const ended = !this.busy && !this.held;
      said.textContent = `${kept.toLocaleString("en")} of ${all.toLocaleString("en")} kept${failed ? `, ${failed.toLocaleString("en")} failed` : ""}${ended ? ". Done." : ""}`;
      const bar = document.createElement("progress");
      bar.max = all;
      bar.value = kept + failed;
      bar.setAttribute("aria-label", "Photos that are done");
      parts.push(said, bar);
      if (this.held) {
        const notice = document.createElement("div"), link = document.createElement("a"), again = document.createElement("button");
        notice.className = "notice error";
        notice.setAttribute("role", "alert");
        notice.append("Your session has ended. The photos that are left wait here. ");
        link.href = "/sign-in";
        link.target = "_blank";
        link.textContent = "Sign in again in another tab";
        again.type = "button";
        again.textContent = "Go on";
        again.addEventListener("click", () => this.resume());
        notice.append(link, ", then ", again);
        parts.push(notice);
      }
      if (failed && !this.busy) {
        const again = document.createElement("button");
        again.type = "button";
        again.textContent = "Try those that failed again";
        again.addEventListener("click", () => this.retry());
        parts.push(again);
      }
      this.state.replaceChildren(...(all ? parts : []));
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    const form = document.querySelector("form[data-upload]");
    if (!form) return;
    const uploads = new Uploads(form), drop = document.getElementById("drop");
    for (const input of form.querySelectorAll("input[type=file]"))
      input.addEventListener("change", () => { uploads.add(input.files); input.value = ""; });
    const camera = document.getElementById("camera");
    if (camera && window.matchMedia("(pointer: coarse)").matches) {
      camera.disabled = false;
      form.querySelector("label[for=camera]").hidden = false;
    }
    form.addEventListener("submit", (event) => event.preventDefault());
    for (const kind of ["dragenter", "dragover"])
      document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.add("over"); });
    for (const kind of ["dragleave", "drop"])
      document.addEventListener(kind, (event) => { event.preventDefault(); drop.classList.remove("over"); });
    document.addEventListener("drop", (event) => uploads.add([...event.dataTransfer.files]));
  });
})();
