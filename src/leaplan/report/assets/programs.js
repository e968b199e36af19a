// Clips: what is said of them, and their action programs with conditions lighting up along the sub-actions.

function clipView(data) {
  const word = (place) => data.names[place];
  const answer = (at, run) => {
    const top = data.runs[run].top[at], truth = data.truth[at];
    const both = `${word(truth.verb)} ${word(truth.noun)}`;
    for (const [head, name] of [["action_head", word(truth.step)], ["action", both], ["verb", word(truth.verb)]]) {
      if (top?.[head]?.length) return { right: word(top[head][0][0]) === name, sure: top[head][0][1] };
    }
    return null;
  };
  return {
    runs: data.runs.map((run) => ({ label: run.model === run.run ? run.run : `${run.model}: ${run.run}`, decodings: [], shown: "" })),
    outcome(at, state) {
      const said = answer(at, state.run);
      if (!said) return null;
      const top = data.runs[state.run].top[at], truth = data.truth[at];
      const parts = ["verb", "noun"].filter((kind) => top[kind]?.length);
      const share = parts.filter((kind) => top[kind][0][0] === truth[kind]).length / Math.max(1, parts.length);
      return { ...said, share };
    },
    text(at, state) {
      const top = data.runs[state.run].top[at] ?? {};
      const said = Object.values(top).map((best) => word(best[0]?.[0]) ?? "");
      return [data.ids[at], ...Object.values(data.truth[at]).map(word), ...said].join(" ").toLowerCase();
    },
    card: (at, state) => clipCard(data, at, state),
  };
}

const HEADS = { action_head: "action", action: "verb × noun", verb: "verb", noun: "noun" };

function clipCard(data, at, state) {
  const top = data.runs[state.run].top[at] ?? {}, truth = data.truth[at];
  const heads = Object.keys(HEADS).filter((head) => top[head]?.length);
  const isTrue = (head, name) => head === "action" ? data.names[name] === `${data.names[truth.verb]} ${data.names[truth.noun]}`
    : name === truth[head === "action_head" ? "step" : head];
  const guesses = heads.map((head) => make("div", {}, make("h4", {}, HEADS[head]), top[head].slice(0, 3).map(([name, share]) =>
    make("div", { class: "guess" }, make("span", { class: `bar ${isTrue(head, name) ? "true" : ""}`, hue: hueOf(name), style: `--share: ${100 * share}%` }, data.names[name]),
      make("span", { class: "number" }, percent(share))))));
  const pictures = data.pictures?.[data.ids[at]];
  const shown = data.anticipates ? "What is seen before the action." : "";
  const left = make("div", {}, pictures && make("div", { class: "frames" }, pictures.map((each, n) => make("img", { src: each, alt: `frame ${n + 1}`, loading: "lazy" }))),
    pictures && shown && make("small", {}, shown), make("div", { class: "guesses" }, guesses));
  const program = data.of === undefined || data.of[at] === null ? null : data.programs[data.of[at]];
  if (!program) return [make("div", { class: "clip alone" }, left)];
  const right = make("div", {}, make("h4", { class: "legend" }, `Its program in ${data.programs_from}, which is not predicted`), programCard(program));
  return [make("div", { class: "clip" }, left, right)];
}

function programCard(program) {
  const parts = [];
  if (program.actions.length) parts.push(conditionsAlong(program));
  if (program.html) parts.push(later("The whole program", () => { const text = make("div"); text.innerHTML = program.html; return [text]; }));
  else parts.push(make("pre", { class: "program" }, program.text));
  return make("div", {}, parts);
}

// Long calls go on in the next line after a bracket or an underscore.
function foldable(call) { return call.replace(/([(_])/g, "$1\u200b"); }

// Sub-actions from left to right, a row per condition: lit while it holds. Programs tell an order, no times.
function conditionsAlong(program) {
  const columns = program.actions.length;
  const track = make("div", { class: "track", style: `grid-template-columns: 8.6rem repeat(${columns}, minmax(0, 1fr)); --columns: ${columns}` });
  const told = make("p", { class: "now-text", "aria-live": "polite" });
  const cells = [], heads = [];
  track.append(make("div", { class: "name" }));
  program.actions.forEach((action, at) => {
    heads.push(make("button", { type: "button", class: "action", hue: hueOf(at + 3), onclick: () => light(at), onmouseenter: () => light(at) }, foldable(action)));
    track.append(heads[at]);
  });
  program.conditions.forEach((condition, row) => {
    track.append(make("div", { class: "name" }, foldable(condition)));
    for (let at = 0; at < columns; at += 1) {
      const value = program.holds[row][at + 1], needed = program.needs[at].includes(row);
      const kind = value === 1 ? "holds" : value === 0 ? "not" : "";
      const title = `${condition}: ${value === 1 ? "holds" : value === 0 ? "does not hold" : "not known"} after ${program.actions[at]}${needed ? "; it is a pre-condition of it" : ""}`;
      const cell = make("div", { class: `state ${kind} ${needed ? "needed" : ""}`, title, onmouseenter: () => light(at) });
      cells.push([cell, at]);
      track.append(cell);
    }
  });
  const range = make("input", { type: "range", min: 0, max: columns - 1, value: 0, "aria-label": "sub-action", oninput: (event) => { light(Number(event.target.value)); heads[range.value].scrollIntoView({ block: "nearest", inline: "nearest" }); } });
  function light(now) {
    range.value = now;
    cells.forEach(([cell, at]) => cell.classList.toggle("now", at === now && cell.classList.contains("holds")));
    heads.forEach((head, at) => head.setAttribute("aria-pressed", at === now));
    const before = program.conditions.filter((_, row) => program.holds[row][now] !== program.holds[row][now + 1]);
    const changed = before.map((name) => { const row = program.conditions.indexOf(name); return program.holds[row][now + 1] === 1 ? name : `not ${name}`; });
    told.textContent = `${now + 1} of ${columns}: ${program.actions[now]}. ${changed.length ? `Then: ${changed.join(", ")}.` : "Nothing changes."}`;
  }
  light(0);
  const legend = "Filled: holds after the sub-action. Framed: must hold before it. Faint: not known. An order, not times."
    + (program.truncated ? " Later sub-actions are left out." : "");
  return make("div", { class: "along" }, make("div", { class: "wide-scroll" }, track), columns > 1 ? range : "", told, make("p", { class: "legend" }, legend));
}

// A folder of programs: the browser asks for words, and whether there is a valid program.
function programsView(data) {
  return {
    runs: [{ label: "", decodings: [], shown: "" }],
    outcome: (at) => ({ right: data.states[at] === "ok", share: data.of[at] === null ? 0 : 1, sure: null }),
    text: (at) => {
      const program = data.of[at] === null ? null : data.programs[data.of[at]];
      return [data.ids[at], data.labels[at], data.narrations[at], ...(program?.actions ?? []), ...data.faults[at]].join(" ").toLowerCase();
    },
    card: (at) => {
      const program = data.of[at] === null ? null : data.programs[data.of[at]];
      const said = data.faults[at].map((fault) => make("li", {}, fault));
      return [make("p", { class: "legend" }, [data.labels[at], data.narrations[at] && `“${data.narrations[at]}”`].filter(Boolean).join(", ")),
        said.length ? make("ul", {}, said) : "", program ? programCard(program) : ""];
    },
  };
}
