/**
 * Counts the words of all text files in some folders on a running Troupe, checks the outcome against a count of its own,
 * and prints the most frequent words. Start `npx troupe dev examples/word-count/tasks.ts` first, then in another terminal:
 *
 *   node examples/word-count/count.ts [folder …]
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { connect } from 'troupe'
import { addCounts, type Counts, countOf, countWords } from './tasks.ts'

const pieceChars = 4_000
const countsPerSum = 8

/** The texts of all .txt and .md files below a folder. */
async function textsIn(folder: string): Promise<string[]> {
  const files = (await readdir(folder, { recursive: true })).filter((file) => /\.(txt|md)$/.test(file)).sort()
  return Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')))
}

/** The text in pieces of about `pieceChars`, cut at the ends of lines, so that no word is cut. */
function piecesOf(text: string): string[] {
  const pieces: string[] = []
  let piece = ''
  for (const line of text.split('\n')) {
    piece += `${line}\n`
    if (piece.length < pieceChars) continue
    pieces.push(piece)
    piece = ''
  }
  return piece === '' ? pieces : [...pieces, piece]
}

function grouped<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, index) =>
    items.slice(index * size, (index + 1) * size),
  )
}

const named = process.argv.slice(2)
const folders = named.length > 0 ? named : [join(import.meta.dirname, 'texts'), join(import.meta.dirname, '../../docs')]
const texts = (await Promise.all(folders.map(textsIn))).flat()
const pieces = texts.flatMap(piecesOf)

await using troupe = await connect({ servers: process.env.TROUPE_NATS ?? 'nats://127.0.0.1:4222' })
// Map: one task per piece. Reduce: sums of sums, until one is left.
let counts: Counts[] = await troupe.map(
  countWords,
  pieces.map((text) => ({ text })),
)
while (counts.length > 1) {
  counts = await troupe.map(
    addCounts,
    grouped(counts, countsPerSum).map((group) => ({ counts: group })),
  )
}

const outcome = counts[0] ?? {}
const right = isDeepStrictEqual(outcome, countOf(texts.join('\n')))
const top = Object.entries(outcome).sort(([a, m], [b, n]) => n - m || a.localeCompare(b))
console.log(`${texts.length} texts in ${pieces.length} pieces: ${top.length} different words`)
for (const [word, count] of top.slice(0, 10)) console.log(`${String(count).padStart(6)} ${word}`)
console.log(right ? 'The same as a direct count.' : 'NOT the same as a direct count.')
process.exitCode = right ? 0 : 1
