/** Puts the tasks of a flow in an order in which each comes after those it waits for, and refuses what has none. */
import { TroupeError } from '../protocol/errors.ts'

export interface FlowNode {
  readonly id: string
  readonly after: readonly string[]
}

/**
 * Returns the same nodes in dependency order, otherwise in the order given. Ids that are not in the flow are taken for
 * tasks that exist already. Throws TROUPE_DUPLICATE_ID or TROUPE_FLOW_CYCLE.
 */
export function inOrder<Node extends FlowNode>(nodes: readonly Node[]): Node[] {
  const byId = new Map<string, Node>()
  for (const node of nodes) {
    if (byId.has(node.id))
      throw new TroupeError('TROUPE_DUPLICATE_ID', `the flow has two tasks with the id "${node.id}"`)
    byId.set(node.id, node)
  }
  const waitingFor = new Map<string, number>()
  const followers = new Map<string, Node[]>()
  for (const node of nodes) {
    const inside = new Set(node.after.filter((id) => byId.has(id)))
    waitingFor.set(node.id, inside.size)
    for (const id of inside) followers.set(id, [...(followers.get(id) ?? []), node])
  }
  const ordered = nodes.filter((node) => waitingFor.get(node.id) === 0)
  for (let next = 0; next < ordered.length; next++) {
    for (const follower of followers.get(ordered[next]!.id) ?? []) {
      const left = waitingFor.get(follower.id)! - 1
      waitingFor.set(follower.id, left)
      if (left === 0) ordered.push(follower)
    }
  }
  if (ordered.length === nodes.length) return ordered
  const circle = nodes.filter((node) => waitingFor.get(node.id)! > 0).map((node) => `"${node.id}"`)
  throw new TroupeError(
    'TROUPE_FLOW_CYCLE',
    `the tasks ${circle.slice(0, 10).join(', ')} wait for each other in a circle`,
  )
}
