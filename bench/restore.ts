/**
 * What a restart spends on its checkpoint: unpacking the rows of live tasks and making records of them, CPU.
 *   node bench/restore.ts [--tasks 300000]
 */
import { parseArgs } from 'node:util'
import { type CheckpointPart, LedgerSaving, restoreState } from '../src/actors/ledger/checkpoint.ts'
import { Ledger } from '../src/actors/ledger/ledger.ts'
import { packBlock } from '../src/protocol/blocks.ts'
import { formatVersion, type Submission } from '../src/protocol/entries.ts'
import { packValue, unpackValue } from '../src/protocol/payload.ts'
import { Subjects } from '../src/protocol/subjects.ts'

const { values } = parseArgs({ options: { tasks: { type: 'string', default: '300000' } } })
const tasks = Number(values.tasks)
const subjects = new Subjects()
const ledger = new Ledger(subjects)
for (let sequence = 1, made = 0; made < tasks; sequence++) {
  const block: Submission[] = Array.from({ length: 250 }, () => ['type', null])
  const data = packBlock([formatVersion, block])
  const timestampMs = 1_800_000_000_000 + sequence
  ledger.fold({ subject: subjects.block('client'), sequence, timestampMs, data, headers: undefined })
  ledger.takeChanges()
  made += block.length
}
const saving = new LedgerSaving(ledger.state, 1)
const packed: Uint8Array[] = []
for (let rows = saving.rows(1_000); rows !== undefined; rows = saving.rows(1_000)) {
  packed.push(packValue(['tasks', rows]) as Uint8Array)
}
for (const part of saving.others()) packed.push(packValue(part as never) as Uint8Array)
const manifest = saving.manifest(0, 0)
for (let round = 0; round < 3; round++) {
  let parts: CheckpointPart[] = []
  const unpackUs = cpuUs(() => {
    parts = packed.map((part) => unpackValue(part) as CheckpointPart)
  })
  const restoreUs = cpuUs(() => restoreState(manifest, parts))
  console.log(`unpack ${(unpackUs / tasks).toFixed(2)} µs, restore ${(restoreUs / tasks).toFixed(2)} µs per task`)
}

function cpuUs(work: () => void): number {
  const start = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(start)
  return user + system
}
