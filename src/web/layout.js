// How the tiles of the grid are laid out. Pure.

const SHAPE = 16 / 9;
const LEAST = 288; // CSS pixels; a narrower tile shows nothing that could be recognized

/**
 * The columns for so many tiles in a space of this width and height, and a tile's width: as large as all fit without
 * scrolling. Where they would be too small, as many columns as are wide enough, and the page scrolls.
 */
export function layOut(count, width, height, gap) {
  const most = Math.max(1, Math.min(count, Math.floor((width + gap) / (LEAST + gap))));
  const broad = (columns) => (width - (columns - 1) * gap) / columns;
  let best = { columns: 1, tile: 0, empty: Infinity };
  for (let columns = 1; columns <= most; columns += 1) {
    const rows = Math.ceil(count / columns);
    const tile = Math.min(broad(columns), ((height - (rows - 1) * gap) / rows) * SHAPE);
    const empty = rows * columns - count;
    // Side by side rather than below each other, if that costs little and leaves no more gaps.
    if (tile > best.tile || (tile >= 0.9 * best.tile && empty <= best.empty)) best = { columns, tile, empty };
  }
  if (best.tile < Math.min(LEAST, width)) return { columns: most, tile: broad(most) };
  return { columns: best.columns, tile: best.tile };
}
