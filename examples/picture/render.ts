/**
 * Renders a picture on a running Troupe, tile by tile, and writes it as a PNG. The bytes of the file are the same however many
 * nodes took part, and whatever died on the way. Start `npx troupe dev examples/picture/tasks.ts` first, then:
 *
 *   node examples/picture/render.ts [file.png]
 */
import { writeFile } from 'node:fs/promises'
import { connect } from 'troupe'
import { place, seahorses, tilesOf } from './fractal.ts'
import { png } from './png.ts'
import { renderTile } from './tasks.ts'

const file = process.argv[2] ?? 'seahorses.png'
const view = seahorses
const tiles = tilesOf(view, 160)

await using troupe = await connect({ servers: process.env.TROUPE_NATS ?? 'nats://127.0.0.1:4222' })
const parts = await troupe.map(
  renderTile,
  tiles.map((tile) => ({ view, tile })),
)
const picture = new Uint8Array(view.width * view.height * 3)
for (const [index, tile] of tiles.entries()) place(view, tile, parts[index]!, picture)
await writeFile(file, png(view.width, view.height, picture))
console.log(`${tiles.length} tiles, ${view.width} × ${view.height} pixels: ${file}`)
