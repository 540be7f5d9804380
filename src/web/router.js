// From one view of the page to another without loading it again: full screen and a token that is kept in memory last.

/** Shows what is at this URL of the page's own. */
export function go(url) {
  history.pushState(null, '', url);
  dispatchEvent(new PopStateEvent('popstate'));
}

/** Calls `show` when another URL is to be shown, also by links with `data-inside`. */
export function onTurn(show) {
  addEventListener('popstate', show);
  document.addEventListener('click', (event) => {
    const link = event.target.closest('a[data-inside]');
    if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    go(link.href);
  });
}
