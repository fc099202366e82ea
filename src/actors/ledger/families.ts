/**
 * Parents and children: who ends with whom, and for how long what a child did is kept. The live children of a parent that
 * fails are cancelled with it; they keep what they need to run again with it, for as long as it is a dead letter.
 */
import type { LedgerState } from './state.ts'
import type { Place, TaskRecord } from './task-record.ts'

/** Children whose outcomes are held for as long as their parent lives; as many as one `ctx.map` may have. */
const childrenHeldMax = 100_000

/** A child's result is needed for as long as its parent lives; it is queued for forgetting when the parent ends. */
export function isNeededByParent(task: TaskRecord): boolean {
  return task.rare?.parent !== undefined && !task.rare.detached
}

/** True if the task, which has ended, is kept for its parent; a parent with too many of them lets it go. */
export function isHeldByParent(state: LedgerState, task: TaskRecord): boolean {
  if (!isNeededByParent(task)) return false
  const parent = state.tasks.get(task.rare?.parent ?? '')
  if (parent?.rare?.children !== undefined && parent.rare.children.size <= childrenHeldMax) return true
  // A parent that lives for long and has ever more children does not hold all that they did.
  if (parent !== undefined) state.touch(parent)
  parent?.rare?.children?.delete(task.id)
  task.more.detached = true
  return false
}

/** The parent has ended: what its children did stays readable like anything else; live ones end with it if it did not complete. */
export function releaseChildren(
  state: LedgerState,
  parent: TaskRecord,
  children: ReadonlySet<string>,
  place: Place,
): void {
  if (!parent.mayRun) delete parent.more.children
  for (const id of children) {
    const child = state.tasks.get(id)
    if (child === undefined) continue
    state.touch(child)
    child.more.detached = true
    if (child.ended) state.queueEnded(child)
    else if (parent.status !== 'completed') {
      const message = `its parent "${parent.id}" was ${parent.status}`
      const error = { code: 'TROUPE_TASK_CANCELLED', message }
      state.end(child, 'cancelled', error, place, parent.mayRun)
    }
  }
}

/** The task, which has ended, is forgotten: by its parent too, and what was to run again with it does not. */
export function leaveFamily(state: LedgerState, task: TaskRecord): void {
  const parent = state.tasks.get(task.rare?.parent ?? '')
  if (parent?.rare?.children?.has(task.id)) {
    state.touch(parent)
    parent.rare.children.delete(task.id)
  }
  letChildrenGo(state, task)
}

function letChildrenGo(state: LedgerState, parent: TaskRecord): void {
  for (const id of parent.rare?.children ?? []) {
    const child = state.tasks.get(id)
    if (!child?.rare?.cancelledWithParent) continue
    state.touch(child)
    state.unqueue(child)
    delete child.rare.cancelledWithParent
    letChildrenGo(state, child)
    delete child.rare.children
    state.queueEnded(child)
  }
}
