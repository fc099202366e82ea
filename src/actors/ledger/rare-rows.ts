/** What few tasks have, as it stands in a task's row of a checkpoint, and back. */
import type { Rare, SignalPlace } from './task-record.ts'

type SignalRow = readonly [
  sequence: number,
  index: number,
  previous: number,
  id: string,
  copy?: readonly [sequence: number, index: number],
]

/** Sets travel as arrays; nothing in the row changes when the record does. Those of a live parent are found by it again. */
export function rareRow(rare: Rare, ended: boolean): Record<string, unknown> {
  const row: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(rare)) {
    if (name === 'children' && !ended) row[name] = []
    else if (name === 'signals') row[name] = rare.signals?.map(signalRow)
    else if (value instanceof Set || Array.isArray(value)) row[name] = [...value]
    else row[name] = value
  }
  return row
}

function signalRow({ sequence, index, previous, id, copy }: SignalPlace): SignalRow {
  if (copy === undefined) return [sequence, index, previous, id]
  return [sequence, index, previous, id, [copy.sequence, copy.index]]
}

function signalFrom([sequence, index, previous, id, copy]: SignalRow): SignalPlace {
  const signal = { sequence, index, previous, id }
  return copy === undefined ? signal : { ...signal, copy: { sequence: copy[0], index: copy[1] } }
}

const setFields: ReadonlySet<string> = new Set(['after', 'children', 'awaited', 'signalIds'])

export function rareFrom(row: Record<string, unknown>): Rare {
  const rare: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(row)) {
    if (name === 'signals') rare[name] = (value as SignalRow[]).map(signalFrom)
    else rare[name] = setFields.has(name) ? new Set(value as string[]) : value
  }
  return rare as Rare
}
