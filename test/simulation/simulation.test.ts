import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { momentKinds } from './faults.ts'
import { plants } from './planted.ts'

const run = promisify(execFile)
const minutes = 60_000

/** A simulation replaces the clocks and timers of its process, so each runs in one of its own. */
async function node(file: string, ...args: string[]): Promise<string[]> {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const { stdout } = await run(process.execPath, [path, ...args], { maxBuffer: 64 * 1024 * 1024 }).catch(
    (error: { stdout: string; stderr: string }) => {
      throw new Error(`${error.stdout}\n${error.stderr}`)
    },
  )
  return stdout.trim().split('\n')
}

/** The same seeds in every run, so that what is red is red by a change; `npm run simulate` draws fresh ones. */
const seeds = ['--seed', '1000', '--seeds', '400', '--workers', '2', '--json']

test(
  'every promise holds in 400 simulated histories of 10,000 steps, and a seed has one trace',
  async () => {
    const report = JSON.parse((await node('main.ts', ...seeds)).at(-1)!) as {
      ran: number
      found: unknown[]
      steps: number
      voids: number
      fired: Readonly<Record<string, number>>
    }
    expect(report).toMatchObject({ ran: 400, found: [] })
    expect(report.steps).toBeGreaterThan(4_000_000)
    // A history in which a planned fault never came about shows nothing about it; that is about one in twenty.
    expect(report.voids).toBeLessThan(40)
    expect(Object.keys(report.fired)).toEqual(expect.arrayContaining([...momentKinds, 'stray']))
  },
  30 * minutes,
)

test(
  'a seed gives the same trace, byte for byte, in another process',
  async () => {
    const traces = await Promise.all([1, 2].map(() => node('main.ts', '--seed', '6', '--steps', '4000', '--trace')))
    const [first, second] = traces.map((lines) => lines.filter((line) => !line.includes('steps/s')))
    expect(first!.length).toBeGreaterThan(4_000)
    expect(second).toEqual(first)
  },
  2 * minutes,
)

describe('the checker', () => {
  test(
    'finds every planted bug',
    async () => {
      const shares = await Promise.all(['0/2', '1/2'].map((share) => node('run-planted.ts', share)))
      const results = shares.flat().map((line) => JSON.parse(line) as { name: string; found: string[] })
      expect(results.filter(({ found }) => found.length === 0).map(({ name }) => name)).toEqual([])
      expect(results.length).toBe(plants.length)
      expect(plants.length).toBeGreaterThanOrEqual(20)
    },
    10 * minutes,
  )
})
