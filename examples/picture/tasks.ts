/** A tile of a picture as a task: CPU-bound, on a thread of its own, with a checkpoint every few rows. */
import { task } from 'troupe'
import { renderRows, type Tile, type View } from './fractal.ts'

const rowsPerCheckpoint = 32

export const renderTile = task(
  'render-tile',
  async (input: { view: View; tile: Tile }, ctx) => {
    const { view, tile } = input
    // What an earlier turn had finished before its node died; nothing in the first turn.
    const parts = (ctx.restored as Uint8Array[] | undefined)?.slice() ?? []
    for (let row = parts.length * rowsPerCheckpoint; row < tile.height; row += rowsPerCheckpoint) {
      parts.push(renderRows(view, tile, row, Math.min(row + rowsPerCheckpoint, tile.height)))
      ctx.progress(Math.min(1, (row + rowsPerCheckpoint) / tile.height))
      if (row + rowsPerCheckpoint < tile.height) await ctx.checkpoint(parts)
    }
    return new Uint8Array(Buffer.concat(parts))
  },
  { isolate: 'thread', timeout: '2m' },
)
