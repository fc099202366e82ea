/** `nodes` and `drain`; the table of nodes. */
import type { NodeAnswer } from '../../../protocol/messages.ts'
import { ago, short } from '../format.ts'
import type { Cell, Output } from '../output.ts'
import type { Invocation } from '../program.ts'
import { required, withTroupe } from '../session.ts'

export async function nodes(invocation: Invocation): Promise<number> {
  const { output } = invocation
  const all = await withTroupe(invocation, (troupe) => troupe.nodes())
  if (output.json) {
    for (const node of all) output.value(node)
    return 0
  }
  nodeTable(all, output)
  return 0
}

export function nodeTable(nodes: readonly NodeAnswer[], output: Output): void {
  output.table(
    ['NODE', 'STATUS', 'TASKS', 'PRICE', 'HEALTH', 'LOOP', 'CPU', 'MEMORY', 'HOST', 'PID', 'SEEN', 'TYPES'],
    nodes.map((node) => [
      node.id,
      statusOf(node),
      `${node.running}/${node.slots}`,
      node.bid === undefined ? '' : `${node.bid.priceMs.toFixed(1)} ms`,
      node.bid === undefined ? '' : share(node.health ?? 1),
      share(node.load?.loop),
      share(node.load?.cpu),
      share(node.load?.memory),
      node.host,
      String(node.pid),
      ago(node.lastSeenAt),
      short(node.types.join(', '), 40),
    ]),
  )
}

function statusOf({ status }: NodeAnswer): Cell {
  if (status === 'ready') return { text: status, format: 'green' }
  return { text: status, format: status === 'draining' ? 'yellow' : 'red' }
}

function share(part: number | undefined): string {
  return part === undefined ? '' : `${Math.round(part * 100)} %`
}

export async function drain(invocation: Invocation): Promise<number> {
  const { args, output } = invocation
  const answer = await withTroupe(invocation, (troupe) => troupe.drain(required('the id of a node', args[0])))
  if (output.json) output.value(answer)
  else output.line(`${answer.node}  ${answer.status}`)
  return 0
}
