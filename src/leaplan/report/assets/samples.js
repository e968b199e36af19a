// The browser of samples: filter, search, sort, pages, links. Only the cards of one page are in the document.

const VIEWS = { planning: planningView, clips: clipView, programs: programsView };
const ORDERS = {
  sure: ["surest mistakes", (a, b) => Number(a.right) - Number(b.right) || (b.sure ?? -1) - (a.sure ?? -1)],
  worst: ["least right first", (a, b) => a.share - b.share || (b.sure ?? -1) - (a.sure ?? -1)],
  doubt: ["least sure first", (a, b) => (a.sure ?? 2) - (b.sure ?? 2)],
  best: ["right and sure first", (a, b) => Number(b.right) - Number(a.right) || (b.sure ?? -1) - (a.sure ?? -1)],
  file: ["order of the file", () => 0],
};

WIDGETS.samples = (element, data, place) => {
  const view = VIEWS[data.kind](data);
  const state = { run: 0, decoding: view.runs[0].shown, task: "", seen: "", verdict: "", order: data.kind === "programs" ? "file" : "sure", search: "", page: 0, linked: null };
  const controls = make("div", { class: "controls" }), list = make("div"), top = make("div", { class: "pager" }), bottom = make("div", { class: "pager" });
  let found = [];

  function find() {
    const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
    found = data.ids.map((_, at) => ({ at, ...view.outcome(at, state) })).filter(({ at, right }) =>
      right !== undefined && (state.verdict === "" || right === (state.verdict === "right")) &&
      (state.task === "" || data.task[at] === Number(state.task)) && (state.seen === "" || data.seen[at] === Number(state.seen)) &&
      (!words.length || ((text) => words.every((word) => text.includes(word)))(view.text(at, state))));
    found.sort((a, b) => ORDERS[state.order][1](a, b) || a.at - b.at);
  }

  function show() {
    const pages = Math.max(1, Math.ceil(found.length / PAGE_SIZE));
    state.page = Math.min(Math.max(0, state.page), pages - 1);
    const shown = found.slice(state.page * PAGE_SIZE, (state.page + 1) * PAGE_SIZE);
    list.replaceChildren(...shown.map((outcome) => card(outcome)));
    if (!shown.length) list.append(make("p", {}, "Nothing fits. Take a filter away, or search for less."));
    for (const pager of [top, bottom]) {
      const turn = (by) => () => { state.page += by; show(); if (pager === bottom) controls.scrollIntoView(); };
      const of = data.total > data.ids.length ? ` (of ${data.total.toLocaleString("en")}; more with --samples)` : "";
      pager.replaceChildren(make("button", { type: "button", disabled: state.page === 0, onclick: turn(-1) }, "‹ before"),
        make("span", { class: "count" }, `${found.length.toLocaleString("en")} of ${data.ids.length.toLocaleString("en")}${of}, page ${state.page + 1} of ${pages}`),
        make("button", { type: "button", disabled: state.page >= pages - 1, onclick: turn(1) }, "next ›"));
    }
    bottom.hidden = pages === 1;
  }

  const update = () => { state.page = 0; find(); show(); };

  function card({ at, ...outcome }) {
    const id = data.ids[at], time = data.times?.[at];
    const badges = [data.kind !== "programs" ? make("span", { class: `badge ${outcome.right ? "good" : "bad"}` }, outcome.right ? "right" : "wrong")
      : make("span", { class: `badge ${outcome.right ? "good" : "bad"}` }, data.states[at])];
    if (outcome.sure !== null && outcome.sure !== undefined) badges.push(make("span", { class: "badge" }, `probability ${percent(outcome.sure)}`));
    if (data.seen) badges.push(make("span", { class: "badge" }, data.seen[at] ? "plan seen in training" : "plan unseen"));
    const what = data.kind === "planning" ? data.tasks[data.task[at]] : data.kind === "clips" ? data.names[data.truth[at].step] : "";
    const more = data.transitions ? make("button", { type: "button", class: "badge", onclick: () =>
      document.dispatchEvent(new CustomEvent("showplan", { detail: { group: place, sample: id, run: state.run } })) }, "on the graph") : "";
    return make("article", { class: `sample ${state.linked === id ? "linked" : ""}`, "data-sample": id },
      make("header", {}, make("a", { href: `#g${place}/${encodeURIComponent(id)}`, title: "link to this sample" }, id), what && make("span", {}, what),
        time && make("small", {}, `${clock(time[0])} to ${clock(time[1])}`), badges, more), view.card(at, state, outcome));
  }

  function drawControls() {
    const set = (name, then = update) => (value) => { state[name] = value; then(); };
    const runs = view.runs.map((run) => run.label), numbers = runs.map((_, at) => String(at));
    const redraw = () => { drawControls(); update(); };
    const parts = [];
    if (runs.length > 1) parts.push(choose("run", runs, numbers, String(state.run), (run) => {
      state.run = Number(run);
      if (!view.runs[state.run].decodings.includes(state.decoding)) state.decoding = view.runs[state.run].shown;
      redraw();
    }));
    const { decodings } = view.runs[state.run];
    if (decodings.length > 1) parts.push(choose("plans by", decodings, decodings, state.decoding, set("decoding")));
    if (data.tasks?.length > 1) parts.push(choose("task", ["all tasks", ...data.tasks], ["", ...data.tasks.keys()].map(String), state.task, set("task")));
    const words = data.kind === "programs" ? ["all", "valid", "not valid"] : ["right and wrong", "right", "wrong"];
    parts.push(choose("outcome", words, ["", "right", "wrong"], state.verdict, set("verdict")));
    if (data.seen) parts.push(choose("plan", ["seen and unseen", "seen in training", "unseen"], ["", "1", "0"], state.seen, set("seen")));
    if (data.kind !== "programs") parts.push(choose("sort", Object.values(ORDERS).map(([name]) => name), Object.keys(ORDERS), state.order, set("order")));
    parts.push(make("label", {}, "search", make("input", { type: "search", value: state.search, placeholder: "words, or a sample", oninput: (event) => set("search")(event.target.value) })));
    controls.replaceChildren(...parts);
  }

  document.addEventListener("opensample", ({ detail }) => {
    if (detail.group !== place || !data.ids.includes(detail.sample)) return;
    Object.assign(state, { task: "", seen: "", verdict: "", search: "", linked: detail.sample });
    drawControls();
    find();
    state.page = Math.floor(found.findIndex(({ at }) => data.ids[at] === detail.sample) / PAGE_SIZE);
    show();
    list.querySelector(".linked")?.scrollIntoView({ block: "center" });
  });

  drawControls();
  update();
  element.append(controls, top, list, bottom);
};
