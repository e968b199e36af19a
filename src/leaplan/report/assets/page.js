"use strict";
// What all parts of the page share: its content, making elements, light and dark, which group is shown.

const CONTENT = JSON.parse(document.getElementById("content").textContent);
const PAGE_SIZE = 8;

// Make an element. Texts are never read as HTML.
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "hue") { element.style.setProperty("--hue", value); element.classList.add("hued"); }
    else if (name === "style") element.style.cssText += value;
    else if (name === "class") element.classList.add(...value.split(" ").filter(Boolean));
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

function percent(share) {
  if (share === null || share === undefined) return "–";
  const value = 100 * share;
  if (value > 0 && value < 0.1) return "< 0.1 %";
  if (value > 99.9 && value < 100) return "> 99.9 %";
  return `${value.toFixed(1)} %`;
}

function clock(seconds) {
  const whole = Math.floor(seconds), tenth = Math.floor(10 * (seconds - whole));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}.${tenth}`;
}

// Neighbouring classes get hues that are far apart.
function hueOf(place) { return Math.round((place * 137.508) % 360); }

function choose(label, names, values, chosen, changed) {
  const options = names.map((name, at) => make("option", { value: values[at], selected: values[at] === chosen }, name));
  return make("label", {}, label, make("select", { onchange: (event) => changed(event.target.value) }, options));
}

// Call `then` once, when `element` comes near the screen.
function whenNear(element, then) {
  const watch = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting)) { watch.disconnect(); then(); }
  }, { rootMargin: "300px" });
  watch.observe(element);
}

// --- light and dark

function remember(name, value) { try { localStorage.setItem(name, value); } catch { /* a page from disk may not */ } }
function recall(name) { try { return localStorage.getItem(name); } catch { return null; } }

function isDark() {
  const told = document.documentElement.dataset.theme;
  return told ? told === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

function setUpTheme() {
  const told = recall("leaplan-theme");
  if (told === "dark" || told === "light") document.documentElement.dataset.theme = told;
  const redraw = () => document.dispatchEvent(new Event("themechange"));
  document.getElementById("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    remember("leaplan-theme", document.documentElement.dataset.theme);
    redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

function colourOf(name) {
  const probe = document.body.appendChild(make("span", { style: `color: var(--${name})` }));
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

// --- groups

function showGroup(place) {
  document.querySelectorAll("article.group").forEach((group) => { group.hidden = Number(group.dataset.place) !== place; });
  document.querySelectorAll("[data-group]").forEach((button) => {
    button.setAttribute("aria-pressed", Number(button.dataset.group) === place);
  });
}

// Links are #g0-results for a section, and #g0/SAMPLE for a sample.
function linked() {
  const text = decodeURIComponent(location.hash.slice(1));
  const sample = /^g(\d+)\/(.+)$/s.exec(text), section = /^g(\d+)-/.exec(text);
  if (sample) return { group: Number(sample[1]), sample: sample[2] };
  if (section) return { group: Number(section[1]), section: text };
  return null;
}

function follow() {
  const link = linked();
  if (!link || link.group >= CONTENT.groups.length) return;
  showGroup(link.group);
  if (link.section) document.getElementById(link.section)?.scrollIntoView();
  else document.dispatchEvent(new CustomEvent("opensample", { detail: link }));
}

const WIDGETS = {};  // name to a function of (element, data, group), filled by the other scripts

document.addEventListener("DOMContentLoaded", () => {
  setUpTheme();
  document.querySelectorAll("[data-group]").forEach((button) => button.addEventListener("click", () => {
    history.replaceState(null, "", " ");
    showGroup(Number(button.dataset.group));
    scrollTo(0, 0);
  }));
  showGroup(0);
  document.querySelectorAll("[data-widget]").forEach((element) => {
    const place = Number(element.dataset.groupPlace);
    WIDGETS[element.dataset.widget](element, CONTENT.groups[place], place);
  });
  document.querySelectorAll("figure.plot").forEach((figure) => whenNear(figure, () => setUpPlot(figure)));
  addEventListener("hashchange", follow);
  follow();
});
