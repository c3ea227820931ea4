// Whatever scrolls sideways can be reached and scrolled with the keyboard.
function mark() {
  for (const part of document.querySelectorAll('pre > code, .md-typeset table, .md-typeset__scrollwrap, .tabbed-labels, p:has(> img)')) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
  }
}
addEventListener('load', mark);
addEventListener('resize', mark);
// The theme's pictures on a phone have no words; a pointer that rests on one, and a screen reader, find some.
for (const [name, words] of [['__drawer', 'Menu'], ['__search', 'Search']]) {
  for (const part of document.querySelectorAll(`.md-header__button[for=${name}]`)) part.title = words;
}
