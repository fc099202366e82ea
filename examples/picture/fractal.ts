/**
 * Computes tiles of a picture of the Mandelbrot set. Only additions, multiplications and comparisons of doubles, so the same
 * tile has the same bytes on every machine.
 */

/** The part of the plane that a picture shows, and its size in pixels. */
export interface View {
  readonly width: number
  readonly height: number
  readonly centerX: number
  readonly centerY: number
  /** Width of the picture in the plane. */
  readonly span: number
  readonly iterationsMax: number
}

/** A rectangle of the picture, in pixels. */
export interface Tile {
  readonly left: number
  readonly top: number
  readonly width: number
  readonly height: number
}

/** Samples per pixel and direction. */
const samples = 4

/** Iterations until the point leaves the circle of radius 2; `max` if it does not. */
function iterations(cx: number, cy: number, max: number): number {
  let x = 0
  let y = 0
  let n = 0
  while (n < max && x * x + y * y <= 4) {
    const next = x * x - y * y + cx
    y = 2 * x * y + cy
    x = next
    n++
  }
  return n
}

/** A wave between 0 and 255 that needs no library function: a parabola up, a parabola down. */
function wave(n: number, period: number, shift: number): number {
  const phase = ((n + shift) % period) / period
  return Math.floor(1020 * phase * (1 - phase))
}

/** The red, green and blue bytes of rows `from` to `to` of a tile, row by row. */
export function renderRows(view: View, tile: Tile, from: number, to: number): Uint8Array {
  const bytes = new Uint8Array(tile.width * (to - from) * 3)
  const step = view.span / view.width
  let at = 0
  for (let row = from; row < to; row++) {
    for (let column = 0; column < tile.width; column++) {
      const sum = [0, 0, 0]
      for (let sample = 0; sample < samples * samples; sample++) {
        const px = tile.left + column + (sample % samples) / samples
        const py = tile.top + row + Math.floor(sample / samples) / samples
        const cx = view.centerX + (px - view.width / 2) * step
        const cy = view.centerY + (py - view.height / 2) * step
        const n = iterations(cx, cy, view.iterationsMax)
        if (n === view.iterationsMax) continue
        sum[0]! += wave(n, 420, 0)
        sum[1]! += wave(n, 560, 0)
        sum[2]! += wave(n, 700, 60)
      }
      for (const channel of sum) bytes[at++] = Math.floor(channel / (samples * samples))
    }
  }
  return bytes
}

/** The tiles of a view, from the top left, each at most `size` pixels wide and high. */
export function tilesOf(view: View, size: number): Tile[] {
  const tiles: Tile[] = []
  for (let top = 0; top < view.height; top += size) {
    for (let left = 0; left < view.width; left += size) {
      tiles.push({ left, top, width: Math.min(size, view.width - left), height: Math.min(size, view.height - top) })
    }
  }
  return tiles
}

/** Puts the bytes of a tile at their place in the bytes of the whole picture. */
export function place(view: View, tile: Tile, bytes: Uint8Array, picture: Uint8Array): void {
  const rowBytes = tile.width * 3
  for (let row = 0; row < tile.height; row++) {
    picture.set(bytes.subarray(row * rowBytes, (row + 1) * rowBytes), ((tile.top + row) * view.width + tile.left) * 3)
  }
}

/** A spiral in the valley of the seahorses, deep enough that its tiles take real work. */
export const seahorses: View = {
  width: 1_440,
  height: 960,
  centerX: -0.74364,
  centerY: 0.13182,
  span: 0.0042,
  iterationsMax: 2_000,
}
