// Whatever scrolls sideways can be reached and scrolled with the keyboard.
function mark() {
  for (const part of document.querySelectorAll('pre > code, .md-typeset table, .md-typeset__scrollwrap, .tabbed-labels')) {
    if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
  }
}
addEventListener('load', mark);
addEventListener('resize', mark);
