// Ambit's admin pages: copy buttons, local times, progress that follows by itself. No inline script.
(() => {
  "use strict";

  const localTimes = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.getAttribute("datetime"));
      const shown = time.querySelector("[data-local]");
      if (!shown || Number.isNaN(at.getTime())) continue;
      shown.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
      time.title = at.toLocaleString(undefined, { dateStyle: "full", timeStyle: "long" });
    }
  };

  const announce = (text) => {
    let live = document.getElementById("a-live");
    if (!live) {
      live = document.createElement("p");
      live.id = "a-live";
      live.className = "a-hidden";
      live.setAttribute("role", "status");
      document.body.append(live);
    }
    live.textContent = text;
  };

  document.addEventListener("click", async (event) => {
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      try {
        await navigator.clipboard.writeText(copy.dataset.copy);
      } catch {
        const area = document.createElement("textarea");
        area.value = copy.dataset.copy;
        document.body.append(area);
        area.select();
        document.execCommand("copy");
        area.remove();
        copy.focus();
      }
      copy.classList.add("a-copied");
      announce("Copied");
      setTimeout(() => copy.classList.remove("a-copied"), 1500);
    }
    if (event.target.closest("[data-print]")) window.print();
    const add = event.target.closest("[data-add-row]");
    if (add) {
      const rows = add.form.querySelectorAll("[data-more]");
      const made = rows[rows.length - 1].cloneNode(true);
      made.querySelector("input").value = "";
      rows[rows.length - 1].after(made);
      made.querySelector("input").focus();
    }
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    const words = form.dataset.busy;
    if (words === undefined) return;
    const button = event.submitter;
    if (!button) return;
    // After the browser has read the form: a disabled button's value would not be sent.
    setTimeout(() => {
      button.disabled = true;
      button.setAttribute("aria-busy", "true");
      if (words) button.textContent = words;
    });
  });
  window.addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    for (const button of document.querySelectorAll("[aria-busy]")) {
      button.disabled = false;
      button.removeAttribute("aria-busy");
    }
  });

  // Ask again after 1, 1.5, 2.25 … up to 15 seconds until the part says that it is final.
  const follow = (part) => {
    let delay = 1000;
    const ask = async () => {
      if (document.hidden) {
        setTimeout(ask, 2000);
        return;
      }
      try {
        const answer = await fetch(part.dataset.poll, { headers: { "Ambit-Fragment": "1" } });
        if (answer.redirected || !answer.ok) return;
        const text = await answer.text();
        if (text.trim() !== part.dataset.last) {
          part.dataset.last = text.trim();
          const parsed = new DOMParser().parseFromString(text, "text/html");
          part.replaceChildren(...parsed.body.childNodes);
          localTimes(part);
        }
        if (part.querySelector('[data-final="yes"]')) return;
      } catch {
        // The server is away for a moment.
      }
      delay = Math.min(delay * 1.5, 15000);
      setTimeout(ask, delay);
    };
    setTimeout(ask, delay);
  };

  const refreshRows = (rows) => {
    let delay = 3000;
    const ask = async () => {
      try {
        const answer = await fetch(window.location.href);
        if (answer.redirected || !answer.ok) return;
        const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = parsed.getElementById(rows.id);
        if (!fresh) return;
        if (!rows.contains(document.activeElement)) {
          rows.replaceChildren(...fresh.childNodes);
          localTimes(rows);
        }
        if (!fresh.hasAttribute("data-refresh")) return;
      } catch {
        // The server is away for a moment.
      }
      delay = Math.min(delay * 1.5, 20000);
      setTimeout(ask, delay);
    };
    setTimeout(ask, delay);
  };

  // How much of a field's room is used, while one types.
  const count = (field) => {
    const shown = document.createElement("p");
    shown.className = "a-help a-counter";
    const update = () => {
      const n = [...field.value].length;
      shown.textContent = `${n.toLocaleString()} of ${Number(field.dataset.count).toLocaleString()} characters`;
    };
    field.addEventListener("input", update);
    field.after(shown);
    update();
  };

  document.addEventListener("DOMContentLoaded", () => {
    localTimes(document);
    for (const field of document.querySelectorAll("[data-count]")) count(field);
    for (const part of document.querySelectorAll("[data-poll]")) follow(part);
    for (const rows of document.querySelectorAll("[data-refresh]")) refreshRows(rows);
    for (const button of document.querySelectorAll("[data-add-row]")) button.hidden = false;
    const focus =
      document.querySelector("[data-focus]") || document.querySelector('main [role="alert"]');
    if (focus) {
      focus.setAttribute("tabindex", "-1");
      focus.focus({ preventScroll: true });
      focus.scrollIntoView({ block: "nearest" });
    }
  });
})();
