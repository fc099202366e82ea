/**
 * What a leading scheduler spends on a task and on a bid, by the number of nodes: the real ledger and agenda, one task at a
 * time, four in five slots in use, and with `--full` a queue that always waits for the next free slot. CPU, not time.
 *   node bench/scheduling/nodes.ts [--nodes 10,100,1000,10000] [--tasks 20000] [--full]
 */
import { parseArgs } from 'node:util'
import { Ledger } from '../../src/actors/ledger/ledger.ts'
import { defaultRules } from '../../src/actors/ledger/state.ts'
import { Agenda } from '../../src/actors/scheduler/agenda.ts'
import { packBlock } from '../../src/protocol/blocks.ts'
import { formatVersion, type JournalEntry, kind } from '../../src/protocol/entries.ts'
import type { NodeReport } from '../../src/protocol/messages.ts'
import { Subjects } from '../../src/protocol/subjects.ts'
import { nodeProfile } from '../profiles.ts'

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '10,100,1000,10000' },
    tasks: { type: 'string', default: '20000' },
    full: { type: 'boolean', default: false },
  },
})
const slots = 8

for (const nodes of values.nodes.split(',').map(Number)) {
  const { taskUs, bidUs } = measure(nodes, Number(values.tasks))
  console.log(`${nodes} nodes: ${taskUs.toFixed(1)} µs per task, ${bidUs.toFixed(1)} µs per bid`)
}

function measure(nodes: number, tasks: number): { taskUs: number; bidUs: number } {
  const subjects = new Subjects()
  const ledger = new Ledger(subjects)
  let sequence = 0
  let timeMs = 1_800_000_000_000
  const fold = (subject: string, block: unknown) =>
    ledger.fold({
      subject,
      sequence: ++sequence,
      timestampMs: timeMs,
      data: packBlock(block as never),
      headers: undefined,
    })
  fold(subjects.control(0, 'bench'), [formatVersion, 0, [[kind.led, defaultRules]]])
  const agenda = new Agenda(ledger.state)
  agenda.build(timeMs)
  const names = Array.from({ length: nodes }, (_, i) => `n${i}`)
  const journals = new Map(names.map((name) => [name, subjects.journal(0, name, `life-${name}`)]))
  const numbers = new Map(names.map((name) => [name, 1]))
  const write = (node: string, entries: readonly JournalEntry[]) => {
    numbers.set(node, numbers.get(node)! + 1)
    fold(journals.get(node)!, [formatVersion, numbers.get(node)!, entries])
  }
  for (const node of names) write(node, [[kind.joined, nodeProfile(node, slots, ['job'])]])
  const settle = () => agenda.note(ledger.takeChanges(), timeMs)
  settle()
  const running: { node: string; id: string; turn: number }[] = []
  const counts = new Map<string, number>()
  const bid = (node: string) => {
    const load = { loop: 0, loopDelayMs: 0, cpu: 0.5, memory: 0.1, rssBytes: 0 }
    const busy = counts.get(node) ?? 0
    const report: NodeReport = [
      'bid',
      { credits: slots, priceMs: 0, slowdown: 1, ttlMs: 1e9 },
      load,
      busy,
      0,
      'ready',
      {},
    ]
    agenda.hear(`life-${node}`, report, timeMs)
    place()
  }
  const place = () => {
    for (const effect of agenda.place(timeMs)) {
      if (effect.do !== 'award') continue
      const { node } = effect.member
      write(
        node,
        effect.tasks.map(({ id, turn }): JournalEntry => [kind.accepted, id, turn + 1]),
      )
      for (const { id, turn } of effect.tasks) running.push({ node, id, turn })
      counts.set(node, (counts.get(node) ?? 0) + effect.tasks.length)
    }
    settle()
  }
  const submit = (count: number) => {
    fold(subjects.block('client'), [formatVersion, Array.from({ length: count }, () => ['job', null])])
    settle()
  }
  let seed = 1
  const finishOne = () => {
    seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648
    const at = seed % running.length
    const { node, id, turn } = running[at]!
    running[at] = running.at(-1)!
    running.pop()
    counts.set(node, counts.get(node)! - 1)
    write(node, [[kind.completed, id, turn, null]])
    settle()
  }
  const step = () => {
    timeMs += 3
    submit(1)
    place()
    finishOne()
    if (values.full) place()
  }
  for (const node of names) bid(node)
  for (let left = Math.floor(nodes * slots * (values.full ? 1 : 0.8)); left > 0; left -= 1_000) {
    timeMs += 3
    submit(Math.min(left, 1_000))
    place()
  }
  for (let i = 0; i < tasks / 4; i++) step()
  const taskUs = cpuUs(() => {
    for (let i = 0; i < tasks; i++) step()
  })
  const bidUs = cpuUs(() => {
    for (let i = 0; i < tasks; i++) bid(names[i % nodes]!)
  })
  return { taskUs: taskUs / tasks, bidUs: bidUs / tasks }
}

function cpuUs(work: () => void): number {
  const start = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(start)
  return user + system
}
