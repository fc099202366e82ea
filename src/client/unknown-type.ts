/** Whether some node could run a type: a misspelt one is accepted like any other, for its node may still come, and waits. */
import type { Bus } from '../nats/bus.ts'
import { TroupeError } from '../protocol/errors.ts'
import type { NodeAnswer } from '../protocol/messages.ts'
import { nearest } from '../protocol/option-names.ts'
import type { Subjects } from '../protocol/subjects.ts'
import { ask } from './ask.ts'

const shownTypes = 10

/** Resolves with TROUPE_UNKNOWN_TYPE when there are nodes and none has the type; undefined also when nobody answers. */
export async function unknownType(bus: Bus, subjects: Subjects, type: string): Promise<TroupeError | undefined> {
  let nodes: readonly NodeAnswer[]
  try {
    nodes = (await ask<{ nodes: NodeAnswer[] }>(bus, subjects.nodes, undefined, { timeoutMs: 1_000, patienceMs: 0 }))
      .nodes
  } catch {
    return undefined
  }
  const known = [...new Set(nodes.flatMap(({ types }) => types))].sort()
  if (nodes.length === 0 || known.includes(type)) return undefined
  const near = nearest(type, known)
  const shown = known.slice(0, shownTypes).map((name) => `"${name}"`)
  const more = known.length > shown.length ? ` and ${known.length - shown.length} more` : ''
  return new TroupeError(
    'TROUPE_UNKNOWN_TYPE',
    `none of ${nodes.length} nodes has the task type "${type}"${near === undefined ? '' : ` (did you mean "${near}"?)`}; they have ${shown.join(', ') || 'none'}${more}`,
    { details: { type, ...(near === undefined ? {} : { near }) } },
  )
}
