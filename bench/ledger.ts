/**
 * The ledger and the agenda on their own, without a server: bytes of heap per queued task, and CPU per task.
 *   node --expose-gc bench/ledger.ts [--tasks 1000000] [--types 1] [--priorities] [--delayed] [--block 256]
 */
import { parseArgs } from 'node:util'
import { Ledger } from '../src/actors/ledger/ledger.ts'
import { defaultRules } from '../src/actors/ledger/state.ts'
import { Agenda } from '../src/actors/scheduler/agenda.ts'
import { packBlock } from '../src/protocol/blocks.ts'
import { formatVersion, kind, type Submission } from '../src/protocol/entries.ts'
import { Subjects } from '../src/protocol/subjects.ts'
import { nodeProfile } from './profiles.ts'

const { values } = parseArgs({
  options: {
    tasks: { type: 'string', default: '1000000' },
    types: { type: 'string', default: '1' },
    block: { type: 'string', default: '256' },
    priorities: { type: 'boolean', default: false },
    delayed: { type: 'boolean', default: false },
  },
})
const [tasks, types, blockSize] = [values.tasks, values.types, values.block].map(Number) as [number, number, number]
const subjects = new Subjects()
const ledger = new Ledger(subjects)
const input = new Uint8Array(200).fill(120)
let sequence = 0
let timeMs = 1_800_000_000_000

const append = (subject: string, data: Uint8Array) =>
  ledger.fold({ subject, sequence: ++sequence, timestampMs: timeMs++, data, headers: undefined })

append(subjects.control(0, 'bench'), packBlock([formatVersion, 0, [[kind.led, defaultRules]]]))
const agenda = new Agenda(ledger.state)
agenda.build(timeMs)
const typeNames = Array.from({ length: types }, (_, i) => `type-${i}`)
const journal = subjects.journal(0, 'node', 'life')
const joined = [kind.joined, nodeProfile('node', 1e9, typeNames)] as const
append(journal, packBlock([formatVersion, 1, [joined]]))
agenda.note(ledger.takeChanges(), timeMs)

const emptyBytes = heapBytes()
const packed: Uint8Array[] = []
for (let made = 0; made < tasks; ) {
  const submissions: Submission[] = []
  for (; submissions.length < blockSize && made < tasks; made++) {
    const type = typeNames[made % types]!
    if (values.priorities) submissions.push([type, input, { priority: made % 10 }])
    else submissions.push(values.delayed ? [type, input, { delayMs: 86_400_000 }] : [type, input])
  }
  packed.push(packBlock([formatVersion, submissions]))
}
const queuedUs = timed(() => {
  for (const [i, block] of packed.entries()) {
    append(subjects.block('client'), block)
    packed[i] = new Uint8Array(0)
    agenda.note(ledger.takeChanges(), timeMs)
  }
})
packed.length = 0
const perTask = Math.round((heapBytes() - emptyBytes) / tasks)
console.log(`${tasks.toLocaleString('en')} queued: ${perTask} B per task, ${queuedUs} µs per task`)

if (!values.delayed) {
  const load = { loop: 0, cpu: 0, memory: 0, rssMb: 0 }
  const bid = { credits: 1_000, priceMs: 1, ttlMs: 1e12, slowdown: 1 }
  agenda.hear('life', ['bid', bid, load, 0, 0, 'ready', {}] as never, timeMs)
  let number = 1
  const runUs = timed(() => {
    for (let done = 0; done < tasks; ) {
      const effects = agenda.place(timeMs)
      const entries = []
      for (const effect of effects)
        if (effect.do === 'award')
          for (const { id, turn } of effect.tasks)
            entries.push([kind.accepted, id, turn + 1], [kind.completed, id, turn + 1, null])
      if (entries.length === 0) throw new Error('nothing was awarded')
      for (let at = 0; at < entries.length; at += 1_000)
        append(journal, packBlock([formatVersion, ++number, entries.slice(at, at + 1_000)] as never))
      agenda.note(ledger.takeChanges(), timeMs)
      done += entries.length / 2
    }
  })
  const kept = ledger.state.results.length
  const keptBytes = Math.round((heapBytes() - emptyBytes) / kept)
  const { completed } = ledger.state.totals
  console.log(
    `run: ${runUs} µs per task, completed ${completed.toLocaleString('en')}, ${keptBytes} B for each of ${kept} kept`,
  )
}

function timed(work: () => void): string {
  const start = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(start)
  return ((user + system) / tasks).toFixed(2)
}

function heapBytes(): number {
  gc?.()
  gc?.()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}
