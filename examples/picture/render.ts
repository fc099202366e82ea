/**
 * Renders a picture on a running Troupe, tile by tile, and writes it as a PNG. The bytes of the file are the same however many
 * nodes took part, and whatever died on the way. Start `npx troupe dev examples/picture/tasks.ts` first, then:
 *
 *   node examples/picture/render.ts [file.png] [width in pixels]
 */
import { writeFile } from 'node:fs/promises'
import { connect } from 'troupe'
import { seahorses, tilesOf } from './fractal.ts'
import { pictureOf, tileSize } from './picture.ts'
import { renderTile } from './tasks.ts'

const file = process.argv[2] ?? 'seahorses.png'
const width = Number(process.argv[3] ?? seahorses.width)
const view = { ...seahorses, width, height: Math.round((width * seahorses.height) / seahorses.width) }
const tiles = tilesOf(view, tileSize)

await using troupe = await connect({ servers: process.env.TROUPE_NATS ?? 'nats://127.0.0.1:4222' })
const parts = await troupe.map(
  renderTile,
  tiles.map((tile) => ({ view, tile })),
)
await writeFile(file, pictureOf(view, parts))
console.log(`${tiles.length} tiles, ${view.width} × ${view.height} pixels: ${file}`)
