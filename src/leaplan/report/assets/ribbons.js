// Plans as ribbons: true steps above, planned steps below, step by step.

function stepOf(names, step, verdict) {
  const mark = verdict === null ? "" : make("span", { class: "mark", "aria-label": verdict ? "right" : "wrong" }, verdict ? "✓" : "✗");
  const kind = verdict === null ? "" : verdict ? "right" : "wrong";
  return make("div", { class: `step ${kind}`, hue: hueOf(step), title: `step ${step}` }, mark, names[step] ?? `step ${step}`);
}

function ribbon(who, names, steps, truth) {
  const shown = steps.map((step, at) => stepOf(names, step, truth ? step === truth[at] : null));
  return make("div", { class: "ribbon" }, make("div", { class: "who" }, who),
    make("div", { class: `steps ${steps.length > 3 ? "long" : ""}` }, shown));
}

function frame(picture, caption) {
  return make("figure", { class: "frame" }, make("img", { src: picture, alt: caption, loading: "lazy" }), make("small", {}, caption));
}

function isRight(plan, truth) { return plan.length === truth.length && plan.every((step, at) => step === truth[at]); }

// A planning group seen through one run and one decoding: what the browser asks of each sample.
function planningView(data) {
  return {
    runs: data.runs.map((run) => ({ label: run.model === run.run ? run.run : `${run.model}: ${run.run}`, decodings: Object.keys(run.plans), shown: run.shown })),
    outcome(at, state) {
      const run = data.runs[state.run], plan = run.plans[state.decoding][at], truth = data.truth[at];
      if (!plan) return null;
      const steps = truth.filter((step, place) => step === plan[place]).length;
      const sure = state.decoding === run.shown ? run.probability[at] : null;
      return { right: isRight(plan, truth), share: steps / truth.length, sure: sure ?? null };
    },
    text(at, state) {
      const plan = data.runs[state.run].plans[state.decoding][at] ?? [];
      const said = [...data.truth[at], ...plan].map((step) => data.names[step] ?? "");
      return [data.ids[at], data.tasks[data.task[at]], data.runs[state.run].sentence[at] ?? "", ...said].join(" ").toLowerCase();
    },
    card: (at, state, outcome) => planCard(data, at, state, outcome),
  };
}

function planCard(data, at, state, outcome) {
  const run = data.runs[state.run], truth = data.truth[at], plan = run.plans[state.decoding][at];
  const pictures = data.pictures?.[data.ids[at]];
  const pair = { class: `ribbons ${plan && truth.length > 3 ? "pair" : ""}`, style: `--rows: ${1 + Math.max(truth.length, plan?.length ?? 0)}` };
  const ribbons = make("div", pair, ribbon("true", data.names, truth, null),
    plan ? ribbon(outcome.sure === null ? state.decoding : `${state.decoding}, ${percent(outcome.sure)}`, data.names, plan, truth) : "");
  const body = [make("div", { class: "strip" }, pictures && frame(pictures[0], "start"), ribbons, pictures && frame(pictures[1], "goal"))];
  if (run.sentence[at]) body.push(make("p", { class: "sentence" }, "The language model wrote: ", written(run.sentence[at])));
  body.push(later("Alternatives, other decodings and runs", () => moreOf(data, at, state)));
  return body;
}

// A list of steps is read as one; other text stays as it was written.
function written(sentence) {
  try {
    const steps = JSON.parse(sentence);
    if (Array.isArray(steps) && steps.every((step) => typeof step === "string")) return steps.map((step) => `“${step}”`).join(" → ");
  } catch { /* free text */ }
  return sentence;
}

// Details whose content is made when they are opened.
function later(title, content) {
  const details = make("details", {}, make("summary", {}, title));
  details.addEventListener("toggle", () => { if (details.children.length === 1) details.append(...content()); }, { once: true });
  return details;
}

function moreOf(data, at, state) {
  const run = data.runs[state.run], truth = data.truth[at], found = [];
  const add = (title, ribbons) => { if (ribbons.length) found.push(make("h3", {}, title), make("div", { class: "ribbons" }, ribbons)); };
  if (run.rank?.[at]) {
    const told = run.rank[at].map((rank) => rank < run.ranks_known ? `${rank + 1}` : `below ${run.ranks_known}`);
    found.push(make("p", { class: "legend" }, `Rank of the true step at each position, before decoding: ${told.join(", ")}.`));
  }
  add("Likely plans of this run", run.alternatives[at].map(([plan, share]) => ribbon(percent(share), data.names, plan, truth)));
  const others = Object.keys(run.plans).filter((name) => name !== state.decoding && run.plans[name][at]);
  add("Other decodings of this run", others.map((name) => ribbon(name, data.names, run.plans[name][at], truth)));
  const runs = data.runs.filter((other) => other !== run && other.plans[other.shown][at]);
  add("Other runs", runs.map((other) => {
    const share = other.probability[at];
    const who = `${other.run} (${other.shown}${share === null || share === undefined ? "" : `, ${percent(share)}`})`;
    return ribbon(who, data.names, other.plans[other.shown][at], truth);
  }));
  return found;
}
