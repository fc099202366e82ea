/**
 * An independent reading of a log: decodes its blocks with the general msgpack library and replays who owned which turn,
 * in as few words as possible. Shares nothing with the product's fold, so that it can judge it.
 */
import { unpack } from 'msgpackr'
import type { StoredMessage } from './plain-client.ts'

export interface AuditedTurn {
  readonly turn: number
  readonly incarnation: string
  readonly node: string
  readonly acceptedAtMs: number
  checkpoints: number
  /** It ended by handing back with a snapshot, which may hold one checkpoint more. */
  handedBack: boolean
}

export interface AuditedTask {
  readonly id: string
  /** The turns that counted, in order. */
  readonly turns: AuditedTurn[]
  status: 'waiting' | 'running' | 'ended'
  /** `completed` entries that counted. */
  completed: number
  /** Turn entries that were stored and did not count: the turn was another's, or its writer dead. */
  void: number
}

export interface Audit {
  readonly tasks: ReadonlyMap<string, AuditedTask>
  /** By incarnation: when its `fenced` or `left` stood in the log, and blocks that the broker stored after a fence. */
  readonly ends: ReadonlyMap<string, { how: 'fenced' | 'left'; atMs: number; storedAfter: number }>
  readonly led: readonly { scheduler: string; atMs: number }[]
}

const submitted = /\.(submit|block)\./

/** Reads the whole log. Options that matter to when a turn may be accepted are not looked at: the audit asks for less. */
export function audit(log: readonly StoredMessage[]): Audit {
  const tasks = new Map<string, AuditedTask>()
  const ends = new Map<string, { how: 'fenced' | 'left'; atMs: number; storedAfter: number }>()
  const led: { scheduler: string; atMs: number }[] = []
  const live = new Map<string, string>()
  const owner = new Map<string, string>()

  const taskOf = (id: string): AuditedTask => {
    let task = tasks.get(id)
    if (task === undefined) tasks.set(id, (task = { id, turns: [], status: 'waiting', completed: 0, void: 0 }))
    return task
  }
  const release = (task: AuditedTask, status: 'waiting' | 'ended') => {
    task.status = status
    owner.delete(task.id)
  }
  const endIncarnation = (incarnation: string, how: 'fenced' | 'left', atMs: number) => {
    live.delete(incarnation)
    if (!ends.has(incarnation)) ends.set(incarnation, { how, atMs, storedAfter: 0 })
    for (const [id, by] of [...owner]) if (by === incarnation) release(taskOf(id), 'waiting')
  }

  for (const { subject, data, atMs } of log) {
    if (submitted.test(subject)) continue
    const tokens = subject.split('.')
    if (tokens[2] === 'control') {
      for (const entry of entriesOf(data)) foldControl(entry, tokens[4] ?? '', atMs)
      continue
    }
    if (tokens[2] !== 'journal') continue
    const [node = '', incarnation = ''] = tokens.slice(4)
    const ended = ends.get(incarnation)
    for (const entry of entriesOf(data)) {
      if (entry[0] === 4) endIncarnation(incarnation, 'fenced', atMs)
      else if (ended?.how === 'fenced') ended.storedAfter++
      if (entry[0] === 1 && !ends.has(incarnation)) {
        for (const [other, name] of [...live]) if (name === node) endIncarnation(other, 'fenced', atMs)
        live.set(incarnation, node)
      } else if (entry[0] === 3) endIncarnation(incarnation, 'left', atMs)
      else if (entry[0] >= 10 && entry[0] <= 16) foldTurn(entry, node, incarnation, atMs)
    }
  }
  return { tasks, ends, led }

  function foldControl(entry: Entry, scheduler: string, atMs: number): void {
    if (entry[0] === 40) {
      led.push({ scheduler, atMs })
      return
    }
    const task = taskOf(String(entry[1]))
    const current = task.turns.at(-1)?.turn
    // Revoked and timed out name the turn; what has been cancelled or has expired has ended.
    if ((entry[0] === 41 || entry[0] === 44) && task.status === 'running' && entry[2] === current)
      release(task, 'waiting')
    else if (entry[0] === 42 || entry[0] === 43) release(task, 'ended')
    else if (entry[0] === 45) release(task, 'waiting')
  }

  function foldTurn(entry: Entry, node: string, incarnation: string, atMs: number): void {
    const task = taskOf(String(entry[1]))
    const turn = Number(entry[2])
    if (entry[0] === 10) {
      if (task.status !== 'waiting' || turn !== (task.turns.at(-1)?.turn ?? 0) + 1 || !live.has(incarnation)) {
        task.void++
        return
      }
      task.turns.push({ turn, incarnation, node, acceptedAtMs: atMs, checkpoints: 0, handedBack: false })
      task.status = 'running'
      owner.set(task.id, incarnation)
      return
    }
    const current = task.turns.at(-1)
    if (task.status !== 'running' || owner.get(task.id) !== incarnation || current?.turn !== turn) {
      task.void++
      return
    }
    if (entry[0] === 14 && entry[3] !== null) current.handedBack = true
    if (entry[0] === 11) current.checkpoints++
    else if (entry[0] === 15) {
      task.completed++
      release(task, 'ended')
    } else if (entry[0] !== 12) release(task, 'waiting')
  }
}

type Entry = [kind: number, ...rest: unknown[]]

function entriesOf(data: Uint8Array): Entry[] {
  try {
    const block: unknown = unpack(data)
    return Array.isArray(block) && Array.isArray(block[2]) ? (block[2] as Entry[]).filter(Array.isArray) : []
  } catch {
    return []
  }
}

/** The value below which a share of the numbers lies. */
export function percentile(numbers: readonly number[], share: number): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
