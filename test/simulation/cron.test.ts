/** Schedules over a change of clocks on virtual time, with lost writes and crashing leaders: each firing runs once. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const run = promisify(execFile)
const script = fileURLToPath(new URL('./cron.ts', import.meta.url))

/** The due times of each schedule's completed tasks, without the date, up to a time of day. */
async function firings(from: string, until: string): Promise<Record<string, string[]>> {
  const { stdout } = await run(process.execPath, [script, from])
  const { crashes, escaped, tasks } = JSON.parse(stdout) as {
    crashes: number
    escaped: number
    tasks: [id: string, status: string][]
  }
  expect([crashes > 6, escaped]).toEqual([true, 0])
  const made: Record<string, string[]> = { fixed: [], twice: [], minutely: [], often: [] }
  for (const [id, status] of tasks) {
    const [name, due] = id.split('@') as [string, string]
    const time = due.slice(11, 19)
    if (time > until) continue
    expect([id, status]).toEqual([id, 'completed'])
    made[name]!.push(time)
  }
  return made
}

function everyFiveSeconds(times: readonly string[]): void {
  const at = times.map((time) => Date.parse(`1970-01-01T${time}Z`))
  expect(at).toEqual(at.map((_, n) => at[0]! + n * 5_000))
  expect(times.length).toBeGreaterThan(9)
}

test('when an hour is left out', async () => {
  const made = await firings('2026-03-29T00:59:20Z', '01:00:20')
  everyFiveSeconds(made.often!)
  expect(made).toMatchObject({ fixed: ['01:00:00'], twice: ['01:00:00'], minutely: ['01:00:00'] })
}, 60_000)

test('when an hour comes twice', async () => {
  const first = await firings('2026-10-25T00:29:20Z', '00:30:20')
  everyFiveSeconds(first.often!)
  expect(first).toMatchObject({ fixed: ['00:30:00'], twice: [], minutely: ['00:30:00'] })
  // The clock shows the same times again an hour later.
  const second = await firings('2026-10-25T01:29:20Z', '01:30:20')
  everyFiveSeconds(second.often!)
  expect(second).toMatchObject({ fixed: [], twice: [], minutely: ['01:30:00'] })
}, 60_000)
