/**
 * The cost of a turn on its node, without the journal: from an award to the `completed` entry, for functions that do
 * nothing, in CPU time. Budget: 6 µs a task. Run it with `npx node bench/turn.ts`.
 */
import { pino } from 'pino'
import { task } from '../src/client/index.ts'
import type { AnyTaskDefinition } from '../src/client/task.ts'
import type { AwardedTask } from '../src/protocol/messages.ts'
import { packValue } from '../src/protocol/payload.ts'
import { startTurn, type TurnHost } from '../src/runtime/tasks/turn.ts'

const rounds = 5
const tasks = 100_000
const batch = 256

const input = packValue({ n: 1 })
const definitions: Record<string, AnyTaskDefinition> = {
  'plain function': task('plain', (given: { n: number }) => given.n),
  'async function': task('async', async (given: { n: number }) => given.n),
  'async function with a timeout': task('timed', async (given: { n: number }) => given.n, { timeout: '30s' }),
}

for (const [name, definition] of Object.entries(definitions)) {
  const times: number[] = []
  for (let round = 0; round < rounds; round++) times.push(await measure(definition))
  console.log(`${name}: ${Math.min(...times).toFixed(2)} µs a task (${times.map((us) => us.toFixed(1)).join(', ')})`)
}

async function measure(definition: AnyTaskDefinition): Promise<number> {
  let ended = 0
  let entries = 0
  let resume = () => {}
  const host: TurnHost = {
    namespace: 'bench',
    nowMs: () => Date.now(),
    nowAtMostMs: () => Date.now(),
    log: pino({ level: 'silent' }),
    commit: (handed) => {
      entries += handed.length
    },
    ended: () => {
      if (++ended % batch === 0) resume()
    },
    storeObject: async () => '',
    loadObject: async () => new Uint8Array(),
    ask: () => Promise.reject(new Error('not here')),
  }
  const rest = [1, input, null, null, null] as const
  const before = process.cpuUsage()
  for (let number = 0; number < tasks; number += batch) {
    const done = new Promise<void>((resolve) => {
      resume = resolve
    })
    for (let index = 0; index < batch; index++) {
      const awarded: AwardedTask = [`0-${number + index}`, definition.type, 1, ...rest]
      startTurn(definition, awarded, host)
    }
    await done
  }
  const { user, system } = process.cpuUsage(before)
  const us = (user + system) / entries
  if (entries !== ended) throw new Error(`${entries} entries for ${ended} turns`)
  return us
}
