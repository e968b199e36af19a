// Plots: plotly is unpacked when the first one comes into view, and each is drawn when it comes into view.

let plotly = null;

function unpackPlotly() {
  plotly ??= (async () => {
    const letters = atob(document.getElementById("plotly").textContent);
    const bytes = new Uint8Array(letters.length);
    for (let place = 0; place < bytes.length; place++) bytes[place] = letters.charCodeAt(place); // `from` takes a second
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    document.head.append(make("script", {}, await new Response(stream).text()));
    return window.Plotly;
  })();
  return plotly;
}

function setUpPlot(figure) {
  const choices = CONTENT.plots[Number(figure.dataset.plot)];
  const names = Object.keys(choices);
  let chosen = names[0];
  const draw = () => drawPlot(figure.querySelector(".drawing"), choices[chosen]);
  if (names.length > 1) {
    const changed = (name) => { chosen = name; draw(); };
    figure.querySelector(".choice").append(choose(`${figure.dataset.choose} `, names, names, chosen, changed));
  }
  document.addEventListener("themechange", draw);
  draw();
}

async function drawPlot(element, figure) {
  try {
    const library = await unpackPlotly();
    const config = { responsive: true, displaylogo: false, displayModeBar: false, scrollZoom: false };
    const layout = layoutOf(figure.layout, element.clientWidth);
    element.style.minHeight = `${layout.height}px`;
    await library.react(element, figure.data.map(traceOf), layout, config);
    element.dataset.drawn = "";
  } catch (error) {
    element.replaceChildren(make("p", { class: "caption" }, `This browser cannot draw the plot (${error.message}).`));
  }
}

function traceOf(trace) {
  if (trace.colorscale !== "page") return trace;
  return { ...trace, colorscale: [[0, colourOf("heat-low")], [1, colourOf("heat-high")]] };
}

// A small screen has no room for names on both axes of a matrix: they are numbered.
function numbered(given) {
  const names = given.yaxis.ticktext.map((name, at) => `${name.length > 18 ? `${name.slice(0, 17)}…` : name} ${at + 1}`);
  const xaxis = { ...given.xaxis, ticktext: names.map((_, at) => `${at + 1}`), tickangle: 0, tickfont: { size: 8 } };
  return { ...given, xaxis, yaxis: { ...given.yaxis, ticktext: names }, margin: { l: 50, r: 4, t: 20, b: 48 } };
}

function layoutOf(given, width) {
  const ink = colourOf("ink"), line = colourOf("line");
  const axis = { gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true, fixedrange: true };
  const legend = { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 };
  if (given.xaxis?.ticktext && width < 600) given = numbered(given);
  return {
    height: width < 500 ? 340 : 400, margin: { l: 50, r: 14, t: 36, b: 48 }, legend, hovermode: "closest",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink, size: width < 500 ? 11 : 12.5 },
    ...given,
    xaxis: { ...axis, ...given.xaxis }, yaxis: { ...axis, ...given.yaxis },
  };
}
