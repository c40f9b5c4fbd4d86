// Draws each picture in the colours of the page, and again when they change from light to dark.
const dark = matchMedia('(prefers-color-scheme: dark)');
const drawn = [];

function theme() {
  const style = getComputedStyle(document.documentElement);
  const colour = name => style.getPropertyValue(name).trim();
  const ink = colour('--ink'), quiet = colour('--quiet'), line = colour('--line'), colours = colour('--colours').split(/\s+/);
  return {
    background: 'transparent',
    font: 'system-ui, sans-serif',
    view: { stroke: null },
    axis: { labelColor: ink, titleColor: quiet, titleFontWeight: 'normal', gridColor: line, domainColor: line, tickColor: line, labelFontSize: 12, titleFontSize: 12 },
    legend: { labelColor: ink, labelFontSize: 12 },
    range: { category: colours },
    mark: { color: colours[0] },
    rule: { color: ink, strokeWidth: 1.5 },
  };
}

async function draw() {
  const config = theme();
  for (const view of drawn.splice(0)) view.finalize();
  for (const plot of document.querySelectorAll('.plot')) {
    try {
      const spec = JSON.parse(plot.nextElementSibling.textContent);
      drawn.push(await vegaEmbed(plot, spec, { renderer: 'svg', actions: false, config, tooltip: { theme: dark.matches ? 'dark' : 'light' } }));
    } catch (error) {
      plot.textContent = 'This picture could not be drawn: ' + error.message;
      plot.classList.add('failed');
      console.error(error);
    }
  }
}

dark.addEventListener('change', draw);
draw();
