/**
 * What awarded and running tasks occupy: named quantities of nodes, and counts per type and per type and key. Kept only while
 * some type asks for quantities or has limits; built anew from the ledger and the awards when that begins.
 */
import type { Member } from '../../ledger/member.ts'
import type { TaskRecord } from '../../ledger/task-record.ts'
import { plus, type Quantities } from './demands.ts'

interface Claim {
  readonly member: Member
  readonly asked: Quantities
}

const nothing: Quantities = {}

export class Claims {
  private readonly byTask = new Map<TaskRecord, Claim>()
  /** Of second turns, beside the first ones. */
  private readonly besides = new Map<TaskRecord, Claim>()
  private readonly used = new Map<Member, Quantities>()
  private readonly byType = new Map<string, number>()
  private readonly byKey = new Map<string, number>()

  get size(): number {
    return this.byTask.size
  }

  /** The task is awarded to this node, or runs on it; a claim on another node is over. */
  take(task: TaskRecord, member: Member): void {
    if (this.byTask.get(task)?.member === member) return
    this.settle(task)
    this.byTask.set(task, this.claim(task, member))
  }

  /** A second turn of the task is awarded to this node, or runs on it. */
  takeBeside(task: TaskRecord, member: Member): void {
    this.settleBeside(task)
    this.besides.set(task, this.claim(task, member))
  }

  /** Returns whether there was a claim. */
  settle(task: TaskRecord): boolean {
    const claim = this.byTask.get(task)
    if (claim === undefined) return false
    this.byTask.delete(task)
    this.give(task, claim)
    return true
  }

  settleBeside(task: TaskRecord): void {
    const claim = this.besides.get(task)
    if (claim === undefined) return
    this.besides.delete(task)
    this.give(task, claim)
  }

  usedOf(member: Member): Quantities {
    return this.used.get(member) ?? nothing
  }

  /** What is left of the quantities that the node declared; negative when the claims of another leader were too many. */
  roomOf(member: Member): Quantities {
    return plus(member.profile.resources, this.usedOf(member), -1)
  }

  ofType(type: string): number {
    return this.byType.get(type) ?? 0
  }

  /** Of tasks with this one's type and key. */
  ofKey(task: TaskRecord): number {
    return task.key === undefined ? 0 : (this.byKey.get(keyed(task)) ?? 0)
  }

  forget(member: Member): void {
    this.used.delete(member)
  }

  private claim(task: TaskRecord, member: Member): Claim {
    const asked = member.types.get(task.type)?.resources ?? nothing
    this.used.set(member, plus(this.usedOf(member), asked, 1))
    count(this.byType, task.type, 1)
    if (task.key !== undefined) count(this.byKey, keyed(task), 1)
    return { member, asked }
  }

  private give(task: TaskRecord, { member, asked }: Claim): void {
    if (member.live) this.used.set(member, plus(this.usedOf(member), asked, -1))
    else this.used.delete(member)
    count(this.byType, task.type, -1)
    if (task.key !== undefined) count(this.byKey, keyed(task), -1)
  }
}

/** Types are names, which have no space. */
function keyed({ type, key }: TaskRecord): string {
  return `${type} ${key}`
}

function count(counts: Map<string, number>, name: string, by: number): void {
  const sum = (counts.get(name) ?? 0) + by
  if (sum > 0) counts.set(name, sum)
  else counts.delete(name)
}
