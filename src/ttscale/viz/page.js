// Shows, hides and moves. It never reads a model's text as code.
'use strict';
(() => {
  const all = (root, what) => [...root.querySelectorAll(what)];
  const sections = all(document, 'section');
  const links = all(document, 'nav a');
  let shown = sections[0];
  function show(section) {
    shown = section;
    sections.forEach(one => { one.hidden = one !== section; });
    links.forEach(link => link.hash === '#' + section.id ? link.setAttribute('aria-current', 'true') : link.removeAttribute('aria-current'));
  }
  function fold(open) {
    const line = document.activeElement;
    const branches = all(shown, '.tree details:not(.leaf)');
    (open && branches.length ? branches : all(shown, '.tree details')).forEach(node => { node.open = open; });
    if (open || !line.matches('.tree summary')) return;
    let node = line.parentElement;
    while (node.parentElement.tagName === 'DETAILS') node = node.parentElement;
    node.firstElementChild.focus();
  }
  function filter() {
    const count = shown.querySelector('output');
    count.textContent = '';
    const words = shown.querySelector('[name=answer]').value.trim().toLowerCase();
    const least = parseFloat(shown.querySelector('[name=score]').value);
    const nodes = all(shown, '.tree details');
    if (!words && Number.isNaN(least)) { nodes.forEach(node => node.classList.remove('off')); return; }
    nodes.forEach(node => node.classList.add('off'));
    let found = 0;
    for (const node of nodes) {
      const answer = (node.dataset.answer || '').toLowerCase();
      const score = node.dataset.score === undefined ? NaN : parseFloat(node.dataset.score);
      if (words && !answer.includes(words)) continue;
      if (!Number.isNaN(least) && !(score >= least)) continue;
      found += 1;
      for (let up = node; up && up.tagName === 'DETAILS'; up = up.parentElement) { up.classList.remove('off'); if (up !== node) up.open = true; }
    }
    count.textContent = found ? found + ' found' : 'nothing found';
  }
  // Closed nodes keep a place in the page, so whether a line can be seen is asked of the nodes above it.
  function seen(line) { return !line.closest('.off') && !line.parentElement.parentElement.closest('details:not([open])'); }
  function step(by) {
    const lines = all(shown, '.tree summary').filter(seen);
    const next = lines[Math.max(0, Math.min(lines.length - 1, lines.indexOf(document.activeElement) + by))];
    if (next) next.focus();
  }
  function winner() {
    shown.querySelector('form').reset();
    filter();
    const won = all(shown, '.tree .won');
    won.forEach(node => { node.open = true; });
    if (won.length) won[won.length - 1].querySelector('summary').focus();
  }
  const keys = { j: () => step(1), k: () => step(-1), c: () => fold(false), e: () => fold(true), w: winner,
    '/': () => shown.querySelector('[name=answer]').focus(), n: () => turn(1), p: () => turn(-1) };
  function turn(by) {
    const next = sections[sections.indexOf(shown) + by];
    if (next) { location.hash = next.id; }
  }
  document.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.tagName === 'INPUT') { if (event.key === 'Escape') event.target.blur(); return; }
    if (Object.hasOwn(keys, event.key)) { event.preventDefault(); keys[event.key](); }
  });
  document.addEventListener('click', event => {
    const name = event.target.dataset ? event.target.dataset.do : undefined;
    if (name === 'collapse') fold(false); else if (name === 'expand') fold(true); else if (name === 'winner') winner();
  });
  document.addEventListener('input', filter);
  document.addEventListener('submit', event => event.preventDefault());
  function go() { show(sections.find(one => '#' + one.id === location.hash) || sections[0]); }
  window.addEventListener('hashchange', go);
  go();
})();
