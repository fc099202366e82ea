/**
 * Whether nodes could take some tasks together if they had nothing else to do. First fit, the most demanding type first, so it
 * errs, if at all, on the side of "no" for odd mixes; a mix that one order of types does not fit is tried in the other.
 */
import type { Member } from '../../ledger/member.ts'
import type { TaskRecord } from '../../ledger/task-record.ts'
import { lacking, plus, unfit } from './demands.ts'

/** Returns why not, or undefined when they fit. */
export function capacityFor(tasks: readonly TaskRecord[], members: readonly Member[]): string | undefined {
  if (members.length === 0) return 'no node has joined'
  for (const type of new Set(tasks.map((task) => task.type))) {
    const able = members.filter((member) => member.types.has(type))
    if (able.length === 0) return `none of ${members.length} nodes has the task type "${type}"`
    const misfits = able.map((member) => unfit(member.types.get(type)!, member.profile))
    if (misfits.every((why) => why !== undefined)) {
      return `none of the ${able.length} nodes with the type can ever take it: ${misfits[0]}`
    }
  }
  const most = Math.max(placed(tasks, members), placed([...tasks].reverse(), members))
  if (most === tasks.length) return undefined
  return `${tasks.length} places are needed at once, and the nodes have ${most} in all`
}

/** The first of these nodes that are enough for the tasks; all of them if they never are. */
export function enoughFor(tasks: readonly TaskRecord[], members: readonly Member[]): readonly Member[] {
  const able = members.filter(({ types }) => tasks.some(({ type }) => types.has(type)))
  for (let count = 1; count < able.length; count++) {
    const first = able.slice(0, count)
    if (placed(tasks, first) === tasks.length) return first
  }
  return able
}

/** How many of the tasks, in this order, find a place. */
function placed(tasks: readonly TaskRecord[], members: readonly Member[]): number {
  const rooms = members.map((member) => {
    return { member, slots: member.profile.slots, resources: member.profile.resources }
  })
  let count = 0
  for (const { type } of tasks) {
    for (const room of rooms) {
      const profile = room.member.types.get(type)
      if (profile === undefined || room.slots === 0) continue
      if (unfit(profile, room.member.profile) !== undefined) continue
      if (lacking(profile.resources, room.resources) !== undefined) continue
      room.slots--
      room.resources = plus(room.resources, profile.resources, -1)
      count++
      break
    }
  }
  return count
}
