// SPDX-License-Identifier: Apache-2.0
// What pages do without being loaded anew: live parts, row drawers, plots, dialogs. Pages work without it too.
"use strict";

(() => {
  const YEAR_S = 31536000;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";
  const cookie = (name) => (document.cookie.split("; ").find((part) => part.startsWith(name + "=")) || "").split("=")[1];
  const keep = (name, value) => { document.cookie = `${name}=${value}; path=/; max-age=${YEAR_S}; samesite=lax`; };
  if (cookie("ringfence_zone") !== zone && /^[A-Za-z0-9_+\-/]{1,64}$/.test(zone)) {
    const isFirst = cookie("ringfence_zone") === undefined;
    keep("ringfence_zone", zone);
    // Times on this page were made for another zone.
    if (isFirst ? zone !== "UTC" : true) location.reload();
  }

  const part = async (address, signal) => {
    const answer = await fetch(address, { headers: { "x-part": "1" }, credentials: "same-origin", signal });
    if (answer.status === 401) { location.reload(); throw new Error("logged out"); }
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.text();
  };

  // Relative times grow older with the page. The server says how they read, and what time it was.
  const ago = (document.documentElement.dataset.ago || "").split("|");
  const ahead = Date.parse(document.documentElement.dataset.now) - Date.now();
  const read = (time) => {
    const passed = Math.max(Math.floor((Date.now() + ahead - Date.parse(time.dateTime)) / 1000), 0);
    if (passed >= 86400) return time.title.slice(0, 16);
    const [form, unit] = passed < 60 ? [ago[0], 1] : passed < 3600 ? [ago[1], 60] : [ago[2], 3600];
    return form.replace("{count}", Math.floor(passed / unit));
  };
  if (ago.length === 3) setInterval(() => {
    if (!document.hidden) document.querySelectorAll("time[data-ago]").forEach((time) => {
      const text = read(time);
      if (time.textContent !== text) time.textContent = text;
    });
  }, 10000);

  // Rows do not change places under a pointer that is about to click one.
  let pointed = -Infinity;
  document.addEventListener("pointermove", () => { pointed = performance.now(); }, { passive: true });
  const isPointedAt = (element) => performance.now() - pointed < 10000 && element.querySelector("table:hover, .tip:not([hidden])");
  const WIDE = ".scroll, .plot-box";
  const isTypedIn = (element) => element.contains(document.activeElement) && !document.activeElement.matches(WIDE);
  const show = (element, html) => {
    const before = [...element.querySelectorAll(WIDE)].map((box) => [box.scrollLeft, box === document.activeElement]);
    element.lastHtml = html; element.innerHTML = html; wire(element);
    element.querySelectorAll(WIDE).forEach((box, index) => {
      const [left, isFocused] = before[index] || [0, false];
      if (index < before.length) box.scrollLeft = left;
      if (isFocused) box.focus({ preventScroll: true });
    });
  };

  // <div data-live="/address" data-every="2"> is fetched anew while it can be seen, and changes in place.
  const refresh = (element) => {
    const every = Number(element.dataset.every || 2) * 1000;
    let timer = 0;
    const turn = async () => {
      if (!element.isConnected) return;
      if (!document.hidden && !isPointedAt(element) && !isTypedIn(element)) {
        const limit = new AbortController();
        const late = setTimeout(() => limit.abort(), 10000);
        try {
          const html = await part(element.dataset.live, limit.signal);
          if (html !== element.lastHtml) show(element, html);
          element.classList.remove("stale");
        } catch { element.classList.add("stale"); } finally { clearTimeout(late); }
      }
      if (every) timer = setTimeout(turn, every);
    };
    timer = setTimeout(turn, element.dataset.now === undefined ? every : 0);
    window.addEventListener("pagehide", () => clearTimeout(timer), { once: true });
  };

  // Rows that lead to a detail open it as a drawer.
  const closeDrawer = () => {
    const open = document.querySelector(".drawer");
    if (!open) return;
    open.remove();
    document.querySelectorAll("tr[aria-selected]").forEach((row) => { row.removeAttribute("aria-selected"); row.focus({ preventScroll: true }); });
    if (document.body.dataset.list) history.replaceState(null, "", document.body.dataset.list);
  };
  const openDrawer = async (row) => {
    const address = row.dataset.detail;
    try {
      const html = await part(address);
      closeDrawer();
      if (!document.body.dataset.list) document.body.dataset.list = location.pathname + location.search;
      const drawer = document.createElement("aside");
      drawer.className = "drawer"; drawer.tabIndex = -1; drawer.innerHTML = html;
      drawer.setAttribute("role", "dialog"); drawer.setAttribute("aria-label", drawer.querySelector("h1").textContent);
      document.body.append(drawer);
      row.setAttribute("aria-selected", "true");
      history.replaceState(null, "", address);
      wire(drawer); drawer.focus();
    } catch { location.assign(address); }
  };
  document.addEventListener("click", (event) => {
    const close = event.target.closest("[data-close]");
    if (close) { event.preventDefault(); const box = close.closest("dialog"); if (box) box.close(); else closeDrawer(); return; }
    const opener = event.target.closest("[data-dialog]");
    if (opener) { event.preventDefault(); document.getElementById(opener.dataset.dialog).showModal(); return; }
    if (event.target.closest("a, button, input, select, label, summary, form")) return;
    const row = event.target.closest("tr[data-detail]");
    if (row && !String(getSelection())) openDrawer(row);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") closeDrawer();
    if (event.key === "/" && !event.target.closest("input, textarea, select")) {
      event.preventDefault(); document.querySelector(".search input")?.focus();
    }
  });

  // Plots: hover tells exact values, dragging selects a range that becomes the filter.
  const plot = (box) => {
    const svg = box.querySelector("svg.plot[data-points]");
    if (!svg) return;
    const points = JSON.parse(svg.dataset.points);
    const [left, width] = [Number(svg.dataset.left), Number(svg.dataset.width)];
    box.scrollLeft = box.scrollWidth; // on a phone the newest end is what is seen
    const tip = document.createElement("div"); tip.className = "tip"; tip.hidden = true; box.append(tip);
    const at = (event) => {
      const frame = svg.getBoundingClientRect();
      const x = (event.clientX - frame.left) / frame.width * svg.viewBox.baseVal.width;
      return Math.max(0, Math.min(points.length - 1, Math.floor((x - left) / width * points.length)));
    };
    const shape = (cls) => svg.querySelector("." + cls);
    let from = -1;
    svg.addEventListener("pointermove", (event) => {
      const index = at(event); const x = left + (index + 0.5) * width / points.length;
      shape("cursor").setAttribute("x1", x); shape("cursor").setAttribute("x2", x);
      tip.textContent = points[index].label; tip.hidden = false;
      const frame = box.getBoundingClientRect();
      tip.style.left = Math.min(event.clientX - frame.left + 12, frame.width - tip.offsetWidth) + "px";
      tip.style.top = event.clientY - frame.top + 12 + "px";
      if (from >= 0) {
        const [low, high] = [Math.min(from, index), Math.max(from, index) + 1];
        shape("chosen").setAttribute("x", left + low * width / points.length);
        shape("chosen").setAttribute("width", (high - low) * width / points.length);
      }
    });
    svg.addEventListener("pointerleave", () => { tip.hidden = true; });
    svg.addEventListener("pointerdown", (event) => { from = at(event); svg.setPointerCapture(event.pointerId); });
    svg.addEventListener("pointerup", (event) => {
      const to = at(event); const begin = from; from = -1;
      if (begin < 0 || begin === to || !svg.dataset.range) return;
      const address = new URL(svg.dataset.range, location.href);
      address.searchParams.delete("range");
      address.searchParams.set("since", points[Math.min(begin, to)].since);
      address.searchParams.set("until", points[Math.max(begin, to)].until);
      location.assign(address);
    });
  };

  const wire = (root) => {
    root.querySelectorAll(".plot-box").forEach(plot);
    root.querySelectorAll("[data-live]").forEach(refresh);
    // What is wider than its place is reached by keyboard too.
    root.querySelectorAll(WIDE).forEach((box) => { if (box.scrollWidth > box.clientWidth) box.tabIndex = 0; });
    root.querySelectorAll("[data-keep]").forEach((input) => input.addEventListener("change", () => {
      keep(input.dataset.keep, input.value); location.reload();
    }));
    root.querySelectorAll("[data-copy]").forEach((button) => button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
      button.textContent = button.dataset.done;
    }));
    root.querySelectorAll("#columns-form").forEach((form) => form.addEventListener("submit", () => {
      const chosen = [...form.querySelectorAll("[data-column]")].filter((box) => box.checked);
      form.elements.columns.value = chosen.map((box) => box.dataset.column).join(",");
    }));
    root.querySelectorAll("form[data-auto]").forEach((form) => form.addEventListener("change", () => form.requestSubmit()));
    root.querySelectorAll("tr[data-detail]").forEach((row) => {
      row.tabIndex = 0;
      row.addEventListener("keydown", (event) => { if (event.key === "Enter" && event.target === row) openDrawer(row); });
    });
  };
  wire(document);
  document.querySelector(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
})();
