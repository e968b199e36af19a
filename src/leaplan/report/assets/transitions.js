// Which step follows which in a task, as arcs, with a plan drawn over them.

const ROW = 34, MOST_ARCS = 160, MOST_STEPS = 60, SVG = "http://www.w3.org/2000/svg";

function draw(tag, attributes, text) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

WIDGETS.transitions = (element, data, place) => {
  const tasks = Object.keys(data.transitions).map(Number);
  const named = (task) => task < 0 || !data.tasks[task] ? "all videos" : data.tasks[task];
  const graph = make("div", { class: "graph" });
  const state = { task: tasks.find((task) => data.task.includes(task)) ?? tasks[0], sample: -1, run: 0 };
  const samplesOf = () => data.ids.map((_, at) => at).filter((at) => state.task < 0 || data.task[at] === state.task);
  const controls = make("div", { class: "controls" });
  const show = () => {
    const own = samplesOf();
    if (!own.includes(state.sample)) state.sample = own[0] ?? -1;
    controls.replaceChildren(
      choose("task", tasks.map(named), tasks.map(String), String(state.task), (task) => { state.task = Number(task); show(); }),
      choose("plan", own.map((at) => data.ids[at]), own.map(String), String(state.sample), (at) => { state.sample = Number(at); show(); }),
      choose("run", data.runs.map((run) => run.run), data.runs.map((_, at) => String(at)), String(state.run), (run) => { state.run = Number(run); show(); }));
    graph.replaceChildren(arcDiagram(data, data.transitions[state.task], state, element.clientWidth));
  };
  document.addEventListener("showplan", (event) => {
    if (event.detail.group !== place) return;
    const at = data.ids.indexOf(event.detail.sample);
    Object.assign(state, { task: data.transitions[data.task[at]] ? data.task[at] : tasks[0], sample: at, run: event.detail.run });
    show();
    document.getElementById(`g${place}-transitions`).scrollIntoView();
  });
  element.append(controls, graph, make("p", { class: "caption" },
    `Steps of the task from top to bottom by their usual place. Thin arcs: which step follows which in ${data.transitions_of}, wider where more often, ` +
    `to the left and dashed where it goes back (the ${MOST_ARCS} most frequent, of ${MOST_STEPS} steps at most). Green: the true plan. Orange, dashed: what the chosen run planned.`));
  whenNear(element, show);
};

function arcDiagram(data, transitions, state, width) {
  const run = data.runs[state.run], truth = state.sample < 0 ? [] : data.truth[state.sample];
  const plan = state.sample < 0 ? [] : run.plans[run.shown][state.sample] ?? [];
  const own = [...truth, ...plan].filter((step, at, all) => all.indexOf(step) === at);
  const often = new Set(transitions.edges.flatMap(([from, to]) => [from, to]).slice(0, 4 * MOST_STEPS));
  const known = transitions.steps.length <= MOST_STEPS ? transitions.steps
    : transitions.steps.filter((step) => own.includes(step) || [...often].slice(0, MOST_STEPS).includes(step));
  const steps = [...known, ...own.filter((step) => !known.includes(step))];
  const rows = new Map(steps.map((step, at) => [step, at]));
  const side = Math.min(150, Math.max(46, width * 0.16)), middle = side, total = Math.max(300, width);
  const svg = draw("svg", { viewBox: `0 0 ${total} ${ROW * steps.length + 10}`, role: "img", "aria-label": "transitions between steps" });
  const y = (step) => 18 + ROW * rows.get(step);
  const arc = (from, to, forward) => {
    const bend = (forward ? 1 : -1) * Math.min(side - 8, 12 + 9 * Math.abs(rows.get(from) - rows.get(to)));
    return `M ${middle} ${y(from)} C ${middle + bend * 1.3} ${y(from)}, ${middle + bend * 1.3} ${y(to)}, ${middle} ${y(to)}`;
  };
  const forward = (from, to) => rows.get(to) >= rows.get(from);
  const most = transitions.edges[0]?.[2] ?? 1;
  transitions.edges.filter(([from, to]) => rows.has(from) && rows.has(to)).slice(0, MOST_ARCS).forEach(([from, to, count]) => {
    const path = draw("path", { d: arc(from, to, forward(from, to)), class: forward(from, to) ? "arc" : "arc back", "stroke-width": 0.7 + 5 * count / most });
    path.append(draw("title", {}, `${data.names[from]} → ${data.names[to]}: ${count}`));
    svg.append(path);
  });
  const walk = (steps_, kind) => steps_.slice(1).forEach((to, at) => svg.append(draw("path", { d: arc(steps_[at], to, forward(steps_[at], to)), class: kind })));
  walk(truth, "truth");
  walk(plan, "plan");
  steps.forEach((step) => {
    svg.append(draw("circle", { cx: middle, cy: y(step), r: 6, class: "node", style: `fill: hsl(${hueOf(step)} 55% 60%)` }));
    const places = [...truth.flatMap((each, at) => each === step ? [`true ${at + 1}`] : []), ...plan.flatMap((each, at) => each === step ? [`planned ${at + 1}`] : [])];
    const left = 2 * side + 6, room = Math.floor((total - left) / 7.2);
    const name = `${places.length ? `${places.join(", ")}: ` : ""}${data.names[step]}`;
    const text = draw("text", { x: left, y: y(step) + 4, "font-weight": places.length ? 700 : 400 }, name.length > room ? `${name.slice(0, room - 1)}…` : name);
    text.append(draw("title", {}, name));
    svg.append(text);
  });
  return svg;
}
