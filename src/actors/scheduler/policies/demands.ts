/**
 * What the tasks of a type ask of a node: named quantities, of which a node never gives more than it declared, and labels.
 * Answers whether a node can ever take a type, and whether it can now, and if not why, for people.
 */
import type { LabelWishes, NodeProfile, TaskProfile } from '../../../protocol/options.ts'

export type Quantities = Readonly<Record<string, number>>

/** Sums of amounts like 0.1 are off by less than this. */
const slack = 1e-9

/** True if the type asks for anything at all; most do not, and cost nothing here. */
export function isDemanding(profile: TaskProfile): boolean {
  if (profile.labels !== undefined) return true
  for (const name in profile.resources) if (profile.resources[name]! > 0) return true
  return false
}

/** The first quantity that is more than what there is; a name that is not there is 0. */
export function lacking(asked: Quantities, there: Quantities): string | undefined {
  for (const name in asked) {
    const amount = asked[name]!
    if (amount > 0 && amount > (there[name] ?? 0) + slack) return name
  }
  return undefined
}

/** Why a node with this profile can never take the type, or undefined. */
export function unfit(type: TaskProfile, node: NodeProfile): string | undefined {
  const name = lacking(type.resources, node.resources)
  if (name !== undefined)
    return `it asks for ${type.resources[name]} ${name} and the node has ${node.resources[name] ?? 0}`
  for (const [label, value] of Object.entries(type.labels?.required ?? {})) {
    if (node.labels[label] !== value) return `it requires the label ${label}=${value}`
  }
  return undefined
}

/** How much the node is wished for: one for each preferred label that it has, less one for each avoided one. */
export function wishFor(wishes: LabelWishes | undefined, labels: Readonly<Record<string, string>>): number {
  if (wishes === undefined) return 0
  let wish = 0
  for (const [label, value] of Object.entries(wishes.preferred ?? {})) if (labels[label] === value) wish++
  for (const [label, value] of Object.entries(wishes.avoided ?? {})) if (labels[label] === value) wish--
  return wish
}

/** `a` plus `times` × `b`. */
export function plus(a: Quantities, b: Quantities, times: number): Quantities {
  const sum: Record<string, number> = { ...a }
  for (const name in b) sum[name] = (sum[name] ?? 0) + times * b[name]!
  return sum
}
