/** A short run of `npm run chaos`: real processes on three servers, faults from a plan, and the checker of the simulation. */
import { expect, test } from 'vitest'
import { run } from '../harness/programs.ts'
import type { FaultKind } from './plan.ts'
import type { Report } from './report.ts'

/** Whatever can be brought about anywhere; one after another they take half a minute. */
const kinds: FaultKind[] = [
  'crash node',
  'crash control',
  'pause long',
  'drain',
  'partition',
  'delay',
  'clock jump',
  'crash log leader',
  'full log',
]

test('whatever dies, hangs or is cut off on the way, every promise holds', async () => {
  const args = ['--minutes', '0.4', '--seed', '1', '--rate', '10', '--kinds', kinds.join(), '--json']
  const { code, stdout, stderr } = await run(['test/chaos/main.ts', ...args], { timeoutMs: 280_000 })
  expect(code, `${stdout}\n${stderr}`).toBe(0)
  const report = JSON.parse(stdout) as Report
  expect(report).toMatchObject({ lost: 0, finishedTwice: 0, violations: [], void: [] })
  expect(report.acknowledged).toBeGreaterThan(100)
  console.log(
    `faults: ${JSON.stringify(report.faults)}; killed node to next owner: ${JSON.stringify(report.reassignedMs)}`,
  )
}, 300_000)
