/** Whether a machine has the actors that it names: one that it lacks would end it in the middle of its work. */
import type { AnyActorLogic } from 'xstate'
import { TroupeError } from '../protocol/errors.ts'

/** What is looked at of a machine and its states; everything here is XState's public interface. */
interface Machine {
  readonly id: string
  readonly root: State
  readonly implementations: { readonly actors: Readonly<Record<string, unknown>> }
}

interface State {
  readonly path: readonly string[]
  readonly states: Readonly<Record<string, State>>
  readonly invoke: readonly { readonly src: unknown }[]
}

/** XState names inline logic by its place. */
const inlineName = /^xstate\.invoke\./

/** Throws TROUPE_UNKNOWN_ACTOR for a state, of the machine or of one that it invokes, whose actor is not there. */
export function checkActors(type: string, logic: AnyActorLogic, seen = new Set<unknown>()): void {
  const machine = logic as unknown as Partial<Machine>
  if (machine.root === undefined || machine.implementations === undefined || seen.has(machine)) return
  seen.add(machine)
  const { actors } = machine.implementations
  checkState(type, machine as Machine, machine.root, actors)
  for (const actor of Object.values(actors)) {
    if (typeof actor === 'object' && actor !== null) checkActors(type, actor as AnyActorLogic, seen)
  }
}

function checkState(type: string, machine: Machine, state: State, actors: Readonly<Record<string, unknown>>): void {
  for (const { src } of state.invoke) {
    if (typeof src !== 'string' || inlineName.test(src) || Object.hasOwn(actors, src)) continue
    const where = state.path.length === 0 ? 'its root' : `state "${state.path.join('.')}"`
    const known = Object.keys(actors)
    const has = known.length === 0 ? 'it has none' : `it has ${known.map((name) => `"${name}"`).join(', ')}`
    throw new TroupeError(
      'TROUPE_UNKNOWN_ACTOR',
      `task "${type}": ${where} of machine "${machine.id}" invokes the actor "${src}", which the machine does not have; ${has}`,
      { details: { actor: src, state: state.path.join('.') } },
    )
  }
  for (const below of Object.values(state.states)) checkState(type, machine, below, actors)
}
