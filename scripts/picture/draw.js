// Runs behind the scripts of the page: leaves the wanted picture as SVG in an element of its own.
async function leave() {
  const element = document.createElement('pre');
  try {
    const heading = find(`#${CSS.escape(wanted.suite)} h3`, wanted.table);
    const caption = next(heading, '.pictures').querySelector('figcaption');
    const spec = JSON.parse(caption.parentElement.querySelector('script').textContent);
    const subtitle = caption.textContent === wanted.table ? undefined : caption.textContent;
    const title = { text: wanted.table, subtitle, anchor: 'start', frame: 'group', offset: 12, fontSize: 15, subtitleFontSize: 12 };
    Object.assign(spec, { title, width: wanted.width, background: 'white', padding: 16 });
    const view = new vega.View(vega.parse(vegaLite.compile(spec, { config: theme() }).spec), { renderer: 'none' });
    element.textContent = await view.toSVG();
    element.id = 'picture';
  } catch (error) {
    element.textContent = error.message;
    element.id = 'failure';
  }
  document.body.append(element);
}

function find(selector, text) {
  const all = [...document.querySelectorAll(selector)];
  const found = all.find(element => element.textContent === text);
  if (found) return found;
  const names = all.map(element => element.textContent).join('\n  ');
  throw new Error(`the page has no table "${text}" in the suite ${wanted.suite}; it has there\n  ${names || 'none at all'}`);
}

// The next sibling that matches, of the same table.
function next(heading, selector) {
  for (let element = heading.nextElementSibling; element && element.tagName !== 'H3'; element = element.nextElementSibling) {
    if (element.matches(selector)) return element;
  }
  throw new Error(`the table "${wanted.table}" has no picture`);
}

leave();
