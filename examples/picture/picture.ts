/** A whole picture from the bytes of its tiles, and the same picture computed in one process, to compare with. */
import { place, renderRows, type Tile, tilesOf, type View } from './fractal.ts'
import { png } from './png.ts'

export const tileSize = 160

/** The PNG of a view; `parts` holds the bytes of each of its tiles, in the order of `tilesOf`. */
export function pictureOf(view: View, parts: readonly Uint8Array[]): Buffer {
  const rgb = new Uint8Array(view.width * view.height * 3)
  for (const [index, tile] of tilesOf(view, tileSize).entries()) place(view, tile, parts[index]!, rgb)
  return png(view.width, view.height, rgb)
}

/** The PNG of a view, computed here alone. */
export function pictureAlone(view: View): Buffer {
  return pictureOf(
    view,
    tilesOf(view, tileSize).map((tile: Tile) => renderRows(view, tile, 0, tile.height)),
  )
}
